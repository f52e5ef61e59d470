// A browser that tests drive over HTTP on loopback. Settings come from the environment:
// PORT, PICTURES (the folder for screenshots).
//   POST /visit         {language, dark, javascript, width, height}  → {visit}
//   POST /visit/<id>    [action, ...arguments]                       → the action's result
// An error is answered with status 500 and its text. Chromium reaches nothing but loopback.
import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { chromium } from "playwright-core";
import { Visit } from "./visit.mjs";

const { PORT, PICTURES } = process.env;

const found = "command -v chromium || command -v chromium-browser || command -v google-chrome-stable";
const browser = await chromium.launch({
  executablePath: execFileSync("sh", ["-c", found], { encoding: "utf8" }).trim(),
  // Containers mostly lack what the sandbox needs, and only pages of the tests are shown.
  chromiumSandbox: false,
  args: [
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--no-proxy-server",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
  ],
});

const visits = new Map();
let begun = 0;

async function answer(path, body) {
  if (path === "/visit") {
    // Counted before the wait: visits of several tests begin at once.
    const id = String(++begun);
    visits.set(id, await Visit.begin(browser, PICTURES, body));
    return { visit: id };
  }
  const visit = visits.get(path.split("/")[2]);
  if (!visit) throw new Error(`no visit at ${path}`);
  const [action, ...values] = body;
  return (await visit[action](...values)) ?? null;
}

async function read(request) {
  let text = "";
  for await (const part of request) text += part;
  return JSON.parse(text || "null");
}

const server = createServer(async (request, response) => {
  let status = 200;
  let result;
  try {
    result = request.method === "POST" ? await answer(request.url, await read(request)) : "ready";
  } catch (error) {
    [status, result] = [500, error.message];
    console.log(`${request.url}: ${error.stack}`);
  }
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(result));
});
server.listen(Number(PORT), "127.0.0.1");
