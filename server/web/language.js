// The words of the page in the reader's language. The English sentence is the key; what has no
// translation stays English. Texts of a draft never come here.

const WORDS = /*words*/ {};
const OWN = { sv: "sv", nb: "nb", no: "nb", nn: "nb", en: "en" };
const DAYS = /\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?=\d{4}-\d{2}-\d{2})/g;
const PLACE = /\{(\w+)\}/g;
let words = {};
let sentences = [];

// Takes the first of these languages that there is; English if there is none.
function setLanguage(...tags) {
  const known = tags.map((tag) => OWN[String(tag).toLowerCase().split(/[-_]/)[0]]).filter(Boolean);
  const language = known[0] || "en";
  document.documentElement.lang = language;
  words = WORDS[language] || {};
  sentences = Object.keys(words).filter((key) => key.includes("{")).map(patternOf);
  sentences.sort((one, other) => other.weight - one.weight);
}

// A sentence with places becomes a pattern; the more of it is fixed, the earlier it is tried.
function patternOf(key) {
  const names = [];
  const source = key
    .split(PLACE)
    .map((part, at) => {
      if (at % 2 === 0) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      names.push(part);
      return part === "said_state" ? "(\\w+)" : "([^]*?)";
    })
    .join("");
  return { key, names, pattern: new RegExp(`^${source}$`), weight: key.replace(PLACE, "").length };
}

function fill(text, given) {
  return text.replace(PLACE, (place, name) => (name in given ? given[name] : place));
}

// A sentence of the page's own.
function t(key, given = {}) {
  return fill(words[key] || key, given);
}

// The same where the words depend on a number.
function tn(count, one, more, given = {}) {
  return t(count === 1 ? one : more, { count, ...given });
}

// A sentence, a label or a state that the server worded. A place named `said...` is such a one too.
function said(text) {
  if (words[text]) return words[text];
  for (const { key, names, pattern } of sentences) {
    const match = pattern.exec(text);
    if (!match) continue;
    const given = {};
    names.forEach((name, at) => {
      given[name] = name.startsWith("said") ? said(match[at + 1]) : dated(match[at + 1]);
    });
    return fill(words[key], given);
  }
  return dated(text);
}

function dated(text) {
  return text.replace(DAYS, (_, day) => `${t(day)} `);
}

setLanguage(...navigator.languages);
