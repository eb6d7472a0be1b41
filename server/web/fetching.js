// Where the page's answers come from: the server that served it.

const api = {
  ask(name, body = {}) {
    return this.send(name, { "Content-Type": "application/json" }, JSON.stringify(body));
  },
  async send(name, headers, body) {
    let response;
    let answer;
    try {
      response = await fetch(`api/${name}`, {
        method: "POST",
        headers,
        body,
        cache: "no-store",
        credentials: "same-origin",
        redirect: "error",
      });
      answer = await response.json();
    } catch {
      throw new Problem(
        "gone",
        t(
          "The program behind this page does not answer. It may have ended: ask for the address again, or run leyr-mcp review.",
        ),
      );
    }
    if (!response.ok) {
      const { code, message, ref } = answer.error;
      if (code === "signed_out") throw new Problem(code, t("You are not signed in, or no longer."));
      throw new Problem(code, code === "internal" ? `${said(message)} (${ref})` : said(message));
    }
    return answer;
  },
};
