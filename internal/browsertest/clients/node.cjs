// Runs a client in Node.js: the same scripts as in a page, over the same WebSocket interface. Ends when
// its standard input does.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");

// Node.js before 20.10 has none of its own; Debian's comes with the package that later ones took it from.
const { WebSocket } = globalThis.WebSocket ? globalThis : require("undici");
// Node.js 20 says only "error" when a handshake fails, where browsers say "close" too. Clients are
// written for browsers.
globalThis.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    let over = false;
    this.addEventListener("close", () => { over = true; });
    this.addEventListener("error", () => setTimeout(() => {
      if (!over) this.dispatchEvent(Object.assign(new Event("close"), { code: 1006, reason: "", wasClean: false }));
    }, 50));
  }
};
globalThis.quipuParams = JSON.parse(process.argv[2]);
globalThis.quipuReport = (line) => process.stdout.write(line + "\n");
process.on("uncaughtException", (error) =>
  globalThis.quipuReport(JSON.stringify({ kind: "exception", message: String(error.stack) })));

const scripts = fs.readdirSync(__dirname).filter((name) => name.endsWith(".js") && name !== "harness.js");
for (const name of [...scripts, "harness.js"]) {
  vm.runInThisContext(fs.readFileSync(path.join(__dirname, name), "utf8"), { filename: name });
}
// A line on standard input is an expression to evaluate, as tests do in pages.
require("node:readline").createInterface({ input: process.stdin })
  .on("line", (line) => vm.runInThisContext(line))
  .on("close", () => process.exit(0));
