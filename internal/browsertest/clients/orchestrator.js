// How the Orchestrator's own front end follows a workflow: no cursor, no ping, no return; timestamps go
// through parseFloat; the end of the workflow closes the socket.
"use strict";
(globalThis.quipuClients ??= {})["orchestrator"] = (params, report) => {
  const shown = new Set();
  const ws = new WebSocket(`${params.server}${params.path}`);
  ws.onopen = () => report("open", { socket: 1 });
  ws.onmessage = (message) => {
    const { event_type, data, timestamp } = JSON.parse(message.data);
    report("frame", { socket: 1, frame: JSON.parse(message.data) });
    if (!event_type) throw new TypeError("a frame without event_type"); // as its toast says
    const at = new Date(parseFloat(timestamp) * 1000);
    const key = `${timestamp} ${data.node_id} ${event_type}`;
    if (shown.has(key)) return;
    shown.add(key);
    report("shown", { socket: 1, message: event_type, value: { node: data.node_id ?? null, year: at.getUTCFullYear(), result: data.result ?? null } });
    if (event_type === "workflow.completed" || event_type === "workflow.failed") ws.close();
  };
  ws.onclose = (closed) => {
    report("close", { socket: 1, code: closed.code });
    if (closed.code !== 1000 && closed.code !== 1005) report("warned", { code: closed.code });
  };
};
