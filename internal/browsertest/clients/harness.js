// Starts one client, chosen by params.client, and has what it reports written down. The parameters are
// in the fragment of the page's address, or come from node.cjs. Clients register themselves in
// globalThis.quipuClients as functions of (params, report).
"use strict";
(() => {
  const write = globalThis.quipuReport; // the test's, in a page; standard output, in Node.js
  const report = (kind, more = {}) =>
    write(JSON.stringify({ kind, at: performance.timeOrigin + performance.now(), ...more }));

  const params = globalThis.quipuParams
    ?? (location.hash.length > 1 ? JSON.parse(decodeURIComponent(location.hash.slice(1))) : null);
  if (!params) return;
  report("loaded");
  for (const one of params.clients ?? [params]) {
    globalThis.quipuClients[one.client](one, report);
  }
})();
