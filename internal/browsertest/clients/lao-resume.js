// A client that does it right: it remembers execution and offset, comes back with both, and stops at the
// run's end.
"use strict";
(globalThis.quipuClients ??= {})["lao-resume"] = (params, report) => {
  const base = `${params.server}/ws/${encodeURIComponent(params.flow)}/${encodeURIComponent(params.run)}`;
  let cursor = "";
  let sockets = 0;
  let tries = 0;

  const listen = () => {
    const socket = ++sockets;
    const ws = new WebSocket(base + cursor);
    let ended = false;
    ws.onopen = () => {
      tries = 0;
      report("open", { socket });
    };
    ws.onmessage = (message) => {
      const event = JSON.parse(message.data);
      report("frame", { socket, frame: event });
      if (event.offset === undefined) return; // a keepalive
      cursor = `?execution_id=${event.execution_id}&after=${event.offset}&log=${event.log}`;
      if (event.event_type === "flow_completed" || event.event_type === "flow_error") {
        ended = true;
        report("complete", { socket, value: event.output });
        ws.close(1000);
      }
    };
    ws.onclose = (closed) => {
      report("close", { socket, code: closed.code });
      if (ended) return;
      const waitMS = Math.min(100 * 2 ** tries++, 2000);
      setTimeout(listen, waitMS);
    };
  };
  listen();
};
