// How the Studio's run view behaves: it connects before it posts, writes names into the address as they
// are, counts only events with a task_name, pairs them by task_id, needs numbers as timestamps, and shows
// the entries of flow_completed's output. It reconnects only while its run goes on.
"use strict";
(globalThis.quipuClients ??= {})["studio"] = (params, report) => {
  const triesMax = 3;
  const openLimitMS = 15000;
  let running = false;
  let tries = 0;
  let sockets = 0;
  const started = new Map(); // task_id to when, in milliseconds

  const take = (socket, text) => {
    let event;
    try {
      event = JSON.parse(text);
    } catch {
      report("plain", { socket, message: text });
      return;
    }
    report("frame", { socket, frame: event });
    if (["keepalive", "ping", "pong"].includes(event.event_type)) return;
    if (typeof event.timestamp !== "number") {
      report("exception", { message: `timestamp is ${typeof event.timestamp}` });
      return;
    }
    const at = new Date(event.timestamp * 1000);
    if (!event.task_name) return;
    if (event.event_type === "task_started") {
      started.set(event.task_id, at.getTime());
    } else if (event.event_type === "task_completed" || event.event_type === "task_failed") {
      report("task", {
        socket, message: event.task_name,
        value: { paired: started.has(event.task_id), ms: at.getTime() - started.get(event.task_id), year: at.getUTCFullYear() },
      });
    } else if (event.event_type === "flow_completed" && event.task_name === "flow" && event.output) {
      running = false;
      report("complete", { socket, value: Object.entries(event.output) });
    }
  };

  const connect = () => new Promise((opened, failed) => {
    const socket = ++sockets;
    const ws = new WebSocket(`${params.server}/ws/${params.flow}/${params.run}`);
    const limit = setTimeout(() => failed(new Error("not open in time")), openLimitMS);
    const heartbeat = setInterval(() => ws.readyState === WebSocket.OPEN && ws.send('{"type":"ping"}'), 30000);
    ws.onopen = () => {
      clearTimeout(limit);
      tries = 0;
      report("open", { socket });
      opened(ws);
    };
    ws.onmessage = (message) => take(socket, message.data);
    ws.onclose = (closed) => {
      clearInterval(heartbeat);
      report("close", { socket, code: closed.code });
      if (!running || ws !== shown || tries >= triesMax) return;
      const waitMS = Math.min(1000 * 2 ** tries, 10000);
      tries += 1;
      setTimeout(() => connect().then((again) => { shown = again; }, () => {}), waitMS);
    };
  });

  // Runs the workflow: socket first, then the post.
  let shown;
  const run = async () => {
    running = true;
    started.clear();
    const before = shown;
    shown = undefined; // its end is no reason to connect again
    before?.close();
    shown = await connect();
    const answer = await fetch(`${params.api}/run-dag/`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(params.dag),
    });
    const body = await answer.json();
    report("posted", { code: answer.status, message: answer.ok ? body.task_id : body.message });
  };
  const press = () => run().catch((error) => report("exception", { message: String(error) }));
  globalThis.quipuPress = press;
  press();
};
