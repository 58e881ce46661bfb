// The yardstick of `make bench`: registers runners, takes their heartbeats and lists them, from
// memory alone. Nothing is kept on disk, checked, compressed, logged or guarded by a key, all of
// which the coordinator does: it is as quick as Express can be at this.
"use strict";

const express = require("express");

const runners = new Map();
const app = express();
app.disable("x-powered-by");
app.use(express.json({ limit: "2mb" }));

app.get("/health", (_request, response) => {
  response.json({ status: "healthy", runners: { total: runners.size } });
});

app.post("/runners/register", (request, response) => {
  const { runnerId, name, endpoint, version, capabilities, labels, resources } = request.body;
  const known = runners.has(runnerId);
  runners.set(runnerId, {
    runnerId,
    name,
    endpoint: endpoint || "unknown",
    version,
    capabilities: capabilities || [],
    realmTemplates: [],
    labels: labels || {},
    lastHeartbeat: new Date().toISOString(),
    status: "online",
    resources,
    tasks: [],
  });
  response.status(201).json({ runnerId, status: known ? "re-registered" : "registered" });
});

app.post("/runners/heartbeat", (request, response) => {
  const runner = runners.get(request.body.runnerId);
  if (!runner) {
    response.status(404).json({ error: "Runner not found" });
    return;
  }
  runner.lastHeartbeat = new Date().toISOString();
  runner.status = "online";
  if (request.body.resources) {
    runner.resources = request.body.resources;
  }
  response.json({ status: "ok" });
});

app.get("/api/runners", (_request, response) => {
  response.json({ runners: [...runners.values()], count: runners.size });
});

const server = app.listen(Number(process.env.PORT), "127.0.0.1");
server.keepAliveTimeout = 60_000;
