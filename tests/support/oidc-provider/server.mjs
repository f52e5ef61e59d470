// A certified OpenID provider with one client for client credentials. Settings come
// from the environment: PORT, ACCESS_TOKEN_SECONDS, CLIENT_ID, CLIENT_SECRET.
import Provider from "oidc-provider";

const { PORT, ACCESS_TOKEN_SECONDS = "600", CLIENT_ID, CLIENT_SECRET } = process.env;

const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  scopes: ["read", "write"],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: { enabled: false },
  },
  ttl: { ClientCredentials: Number(ACCESS_TOKEN_SECONDS) },
});

// One line for each request, so that a test can count them in the log.
provider.use(async (context, next) => {
  await next();
  console.log(`${context.method} ${context.path} ${context.status}`);
});

provider.listen(Number(PORT), "127.0.0.1");
