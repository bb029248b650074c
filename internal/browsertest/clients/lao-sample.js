// How the sample client of the LAO page behaves, flaws included: it knows no offset, so it cannot tell a
// replay from news; it comes back after every close, its own too (S0-30 to S0-36).
"use strict";
(globalThis.quipuClients ??= {})["lao-sample"] = (params, report) => {
  const address = `${params.server}/ws/${params.flow}/${params.run}`;
  const triesMax = params.triesMax ?? 3;
  const stepMS = 2000;
  let tries = 0;
  let sockets = 0;

  const listen = () => {
    const socket = ++sockets;
    const ws = new WebSocket(address);
    let heartbeat;
    ws.onopen = () => {
      tries = 0;
      report("open", { socket });
      heartbeat = setInterval(() => ws.send('{"type":"ping"}'), params.pingMS ?? 30000);
    };
    ws.onmessage = (message) => {
      const event = JSON.parse(message.data); // whatever is not JSON ends up as an exception
      report("frame", { socket, frame: event });
      if (event.event_type === "flow_completed") {
        report("complete", { socket, value: event.output });
        ws.close();
      } else if (event.event_type === "task_failed" || event.event_type === "flow_error") {
        report("failed", { socket, value: event.error });
      }
    };
    ws.onclose = (closed) => {
      clearInterval(heartbeat);
      report("close", { socket, code: closed.code });
      if (tries >= triesMax) {
        report("gave_up", { socket });
        return;
      }
      tries += 1;
      setTimeout(listen, stepMS * tries);
    };
  };
  listen();
};
