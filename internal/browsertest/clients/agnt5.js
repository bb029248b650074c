// A client of the AGNT5 page, as it advises: the key as subprotocol, reconnects that wait twice as long
// each time and end after five, the state of what is under way kept so that it can be resumed.
"use strict";
(globalThis.quipuClients ??= {})["agnt5"] = (params, report) => {
  const retriesMax = 5;
  const waitMaxMS = 30000;
  const terminal = new Set(["execution_completed", "execution_failed", "execution_cancelled"]);
  const address = `${params.server}/ws?x-wf-endpoint=${params.endpoint}`;
  const underWay = new Map(); // execution id to the cursor of the last frame
  const outbox = [...(params.messages ?? [])];
  let sockets = 0;
  let retries = 0;

  const connect = () => {
    const socket = ++sockets;
    const ws = new WebSocket(address, [`x-api-key.${params.key}`]);
    ws.onopen = () => {
      retries = 0;
      report("open", { socket, message: ws.protocol });
      for (const [execution_id, after] of underWay) {
        ws.send(JSON.stringify({ type: "resume", connection_id: params.connection_id, execution_id, after }));
      }
      while (outbox.length > 0) {
        ws.send(JSON.stringify({ connection_id: params.connection_id, ...outbox.shift() }));
      }
    };
    ws.onmessage = (message) => {
      const frame = JSON.parse(message.data);
      report("frame", { socket, frame });
      const { execution_id, offset, part } = frame.data;
      if (offset === undefined) return;
      underWay.set(execution_id, part === undefined ? `${offset}` : `${offset}:${part}`);
      if (terminal.has(frame.type)) {
        underWay.delete(execution_id);
        report("complete", { socket, message: frame.type });
      }
    };
    ws.onerror = () => report("error", { socket });
    ws.onclose = (closed) => {
      report("close", { socket, code: closed.code });
      if (retries >= retriesMax) {
        report("gave_up", { socket });
        return;
      }
      setTimeout(connect, Math.min(1000 * 2 ** retries, waitMaxMS));
      retries += 1;
    };
  };
  connect();
};
