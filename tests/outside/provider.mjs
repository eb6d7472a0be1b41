// An OpenID provider on loopback that gives tokens to programs: node provider.mjs RESOURCE SECRET [CLIENT...]
//
// A CLIENT with an address, NAME=https://..., is one through which people sign in with a browser, under any name.
// A client is called like the algorithm that signs its tokens; "long" gets them for two hours, "opaque" such that
// cannot be read. Prints its issuer, and a line for each SIGHUP, on which all of its keys are other ones.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../.work/outside/package.json", import.meta.url));
const { default: Provider } = require("oidc-provider");

const [resource, secret, ...more] = process.argv.slice(2);
const PATH = "/clinic";
const HOUR = 3600;
const KINDS = {
  RS256: ["rsa", { modulusLength: 2048 }],
  PS256: ["rsa", { modulusLength: 2048 }],
  ES256: ["ec", { namedCurve: "P-256" }],
  EdDSA: ["ed25519", {}],
};
const SCOPES = "ehr.read ehr.draft ehr.file ehr.file.unattended";

function keys() {
  return Object.entries(KINDS).map(([alg, [kind, how]]) => ({
    ...generateKeyPairSync(kind, how).privateKey.export({ format: "jwk" }),
    alg,
    use: "sig",
    kid: randomUUID(),
  }));
}

function provider(issuer) {
  const clients = [...Object.keys(KINDS), "long", "opaque", ...more].map((given) => {
    const [name, back] = given.split("=");
    return {
      client_id: name,
      client_secret: secret,
      grant_types: [back ? "authorization_code" : "client_credentials"],
      redirect_uris: back ? [back] : [],
      response_types: back ? ["code"] : [],
      token_endpoint_auth_method: "client_secret_basic",
    };
  });
  const getResourceServerInfo = (ctx, asked, client) => ({
    scope: SCOPES,
    audience: asked,
    accessTokenTTL: client.clientId === "long" ? 2 * HOUR : HOUR,
    accessTokenFormat: client.clientId === "opaque" ? "opaque" : "jwt",
    jwt: { sign: { alg: client.clientId in KINDS ? client.clientId : "RS256" } },
  });
  return new Provider(issuer, {
    clients,
    jwks: { keys: keys() },
    scopes: ["openid", ...SCOPES.split(" ")],
    extraTokenClaims: () => ({ leyr_author_id: "1021" }),
    ttl: { ClientCredentials: (ctx, token) => token.resourceServer?.accessTokenTTL ?? HOUR },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: more.some((given) => given.includes("=")) },
      resourceIndicators: { enabled: true, defaultResource: () => resource, getResourceServerInfo },
    },
  }).callback();
}

let answer;
const server = createServer((request, response) => {
  if (!request.url.startsWith(`${PATH}/`)) {
    response.writeHead(404).end();
    return;
  }
  request.originalUrl = request.url;
  request.url = request.url.slice(PATH.length);
  answer(request, response);
});
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}${PATH}`;
  answer = provider(issuer);
  process.on("SIGHUP", () => {
    answer = provider(issuer);
    console.log("other keys");
  });
  console.log(issuer);
});
