// One person's visit: a fresh profile, one page, and a record of what it asked for.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { signIn } from "./sign-in.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// Long enough for a busy machine, short enough to fail within a test's patience.
const PATIENCE = 20_000;
const MOST_TABS = 50;

export class Visit {
  static async begin(browser, pictures, { language, dark, javascript, width, height }) {
    const context = await browser.newContext({
      locale: language,
      colorScheme: dark ? "dark" : "light",
      javaScriptEnabled: javascript,
      viewport: { width, height },
    });
    context.setDefaultTimeout(PATIENCE);
    const visit = new Visit();
    Object.assign(visit, { context, pictures, requests: [], complaints: [] });
    context.on("request", (request) => visit.requests.push(`${request.method()} ${request.url()}`));
    visit.page = await context.newPage();
    visit.page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) visit.complaints.push(message.text());
    });
    visit.page.on("pageerror", (error) => visit.complaints.push(String(error)));
    visit.tools = await context.newCDPSession(visit.page);
    return visit;
  }

  async open(url) {
    await this.page.goto(url);
    return this.shown();
  }

  // A field by its label.
  async fill(label, value) {
    await this.page.getByLabel(label).fill(value);
  }

  // A button or a link by its name.
  async click(name) {
    const named = ["button", "link"].map((role) => this.page.getByRole(role, { name }));
    await named[0].or(named[1]).first().click();
  }

  async press(key) {
    await this.page.keyboard.press(key);
  }

  // Presses Tab until what has the focus is called so; answers the names on the way, that one included.
  async tabTo(name) {
    const passed = [];
    while (passed.length < MOST_TABS) {
      await this.page.keyboard.press("Tab");
      passed.push(await this.value("document.activeElement.innerText || document.activeElement.value || ''"));
      if (passed.at(-1).trim() === name) return passed;
    }
    throw new Error(`no Tab leads to ${name}: ${passed.join(" | ")}`);
  }

  // Whether what has the focus has an outline.
  async focusIsSeen() {
    return this.value("getComputedStyle(document.activeElement).outlineStyle !== 'none'");
  }

  // Waits until the address begins so and its document is there.
  async arrive(prefix) {
    await this.page.waitForURL((url) => url.href.startsWith(prefix));
    return this.shown();
  }

  // As the browser's own buttons do.
  async reload() {
    await this.page.reload();
    return this.shown();
  }

  async back() {
    await this.page.goBack();
    return this.shown();
  }

  async forward() {
    await this.page.goForward();
    return this.shown();
  }

  async signIn(provider, person) {
    await signIn[provider](this.page, person);
  }

  async shown() {
    const text = await this.page.locator("body").innerText();
    const fits = await this.value("document.scrollingElement.scrollWidth <= document.scrollingElement.clientWidth");
    return { url: this.page.url(), title: await this.page.title(), text, fits };
  }

  // The texts of the frames within the page.
  async frames() {
    const inner = this.page.frames().filter((frame) => frame !== this.page.mainFrame());
    return Promise.all(inner.map((frame) => frame.locator("body").innerText()));
  }

  async screenshot(name) {
    await this.page.screenshot({ path: join(this.pictures, `${name}.png`), fullPage: true });
  }

  // What the audit finds: [{rule, impact, where}].
  async audit() {
    // Asked for as the developer's tools do: a page's own policy forbids every script.
    return this.value(`${axe}; axe.run(document, { preload: false }).then(({ violations }) =>
      violations.map(({ id, impact, nodes }) => ({ rule: id, impact, where: nodes.map((node) => node.html).join("\\n") })))`);
  }

  // What was asked for and what the browser complained about, from the beginning.
  record() {
    return { requests: this.requests, complaints: this.complaints };
  }

  async end() {
    await this.context.close();
  }

  async value(expression) {
    const asked = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.tools.send("Runtime.evaluate", asked);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }
}
