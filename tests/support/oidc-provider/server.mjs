// A certified OpenID provider with one client for client credentials and, if it has
// REDIRECT_URIS (separated by commas), one for people, with the same secret: any name and
// password signs in. Settings come from the environment: PORT, ACCESS_TOKEN_SECONDS,
// CLIENT_ID, CLIENT_SECRET, WEB_CLIENT_ID, REDIRECT_URIS.
import Provider from "oidc-provider";

const { PORT, ACCESS_TOKEN_SECONDS = "600", CLIENT_ID, CLIENT_SECRET } = process.env;
const { WEB_CLIENT_ID, REDIRECT_URIS } = process.env;

const forPeople = REDIRECT_URIS
  ? [
      {
        client_id: WEB_CLIENT_ID,
        client_secret: CLIENT_SECRET,
        grant_types: ["authorization_code", "refresh_token"],
        redirect_uris: REDIRECT_URIS.split(","),
        response_types: ["code"],
      },
    ]
  : [];

const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
    ...forPeople,
  ],
  scopes: ["openid", "offline_access", "read", "write"],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: forPeople.length > 0 },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: { enabled: false },
  },
  // Every refresh token is good once, and a second use ends the whole grant.
  rotateRefreshToken: true,
  ttl: {
    AccessToken: Number(ACCESS_TOKEN_SECONDS),
    ClientCredentials: Number(ACCESS_TOKEN_SECONDS),
  },
});

// One line for each request, so that a test can count them in the log; token requests with their
// grant and the person whose tokens they bring.
provider.use(async (context, next) => {
  await next();
  const { params, entities } = context.oidc ?? {};
  const more = [params?.grant_type, entities?.Account?.accountId, context.querystring];
  console.log([context.method, context.path, context.status, ...more.filter(Boolean)].join(" "));
});

provider.listen(Number(PORT), "127.0.0.1");
