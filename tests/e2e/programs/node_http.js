// SPDX-License-Identifier: Apache-2.0
// Node's http server and its keep-alive agent. `serve` prints its port; when its input ends, it prints as JSON what it
// answered and the largest number of connections. `ask PORT COUNT` sends COUNT requests of each kind over a few
// connections.
"use strict";
const http = require("http");

const routes = {
  "/ok": (request, response) => response.end("ok"),
  "/sized": (request, response) => response.writeHead(200, { "Content-Length": 6 }).end("sized!"),
  "/empty": (request, response) => response.writeHead(204).end(),
  "/error": (request, response) => response.writeHead(500).end("error"),
  "/echo": (request, response) => request.pipe(response),
  "/chunks": (request, response) => {
    for (let index = 0; index < 20; ++index) response.write("chunk " + index);
    response.addTrailers({ "X-Trailer": "HTTP/1.1 200 OK" });
    response.end();
  },
  "/large": (request, response) => response.end(Buffer.alloc(1 << 20, "x")),
};

function serve() {
  const answered = {};
  const server = http.createServer({ keepAliveTimeout: 60000 }, (request, response) => {
    const path = request.url.split("?")[0];
    response.on("close", () => {
      const route = routes[path] ? `${request.method} ${path}` : "(not found)";
      const key = `${route} ${Math.floor(response.statusCode / 100)}xx`;
      answered[key] = (answered[key] || 0) + 1;
    });
    (routes[path] || ((_, response) => response.writeHead(404).end()))(request, response);
  });
  let open = 0;
  let most = 0;
  server.on("connection", (connection) => {
    most = Math.max(most, ++open);
    connection.on("close", () => --open);
  });
  server.listen(0, "127.0.0.1", () => process.stdout.write(server.address().port + "\n"));
  process.stdin.resume();
  process.stdin.on("end", () => {
    process.stdout.write(JSON.stringify({ answered, most }) + "\n");
    process.exit(0);
  });
}

function ask(port, count) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const kinds = Object.keys(routes).map((path) => ({ path, method: path === "/echo" ? "POST" : "GET" }));
  kinds.push({ path: "/ok", method: "HEAD" }, { path: "/missing", method: "GET" });
  kinds.push({ path: "/echo", method: "PUT", headers: { Expect: "100-continue" } });
  for (const kind of kinds) {
    for (let index = 0; index < count; ++index) {
      const request = http.request({ host: "127.0.0.1", port, agent, ...kind }, (response) => response.resume());
      const body = kind.path === "/echo" ? "GET /ok HTTP/1.1\r\n\r\n".repeat(index * 10) : undefined;
      if (kind.headers) request.on("continue", () => request.end(body));
      else request.end(body);
    }
  }
}

if (process.argv[2] === "serve") serve();
else ask(Number(process.argv[3]), Number(process.argv[4]));
