// How a person signs in at the identity providers of the tests. Each begins on the
// provider's first page and ends when the provider has sent the browser away.
export const signIn = {
  // The example of the Zitadel library: one form, no question about consent.
  async zitadel(page, { username, password }) {
    await page.getByLabel("Username").fill(username);
    await page.getByLabel("Password").fill(password);
    await leave(page, () => page.getByRole("button", { name: "Login" }).click());
  },

  // oidc-provider's own pages for development: any name and password, then consent.
  async oidcProvider(page, person) {
    await signInAtOidcProvider(page, person);
    await leave(page, () => page.getByRole("button", { name: "Continue" }).click());
  },

  // The same, and no at the question.
  async oidcProviderDeclined(page, person) {
    await signInAtOidcProvider(page, person);
    await leave(page, () => page.getByRole("link", { name: "Cancel" }).click());
  },
};

async function signInAtOidcProvider(page, { username, password }) {
  await page.locator("input[name=login]").fill(username);
  await page.locator("input[name=password]").fill(password);
  await page.getByRole("button", { name: "Sign-in" }).click();
  await page.getByRole("button", { name: "Continue" }).waitFor();
}

async function leave(page, act) {
  const { origin } = new URL(page.url());
  await act();
  await page.waitForURL((url) => url.origin !== origin, { waitUntil: "commit" });
}
