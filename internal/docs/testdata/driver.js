// Calls the proxy as commands say, one JSON object on each line of standard input, and prints one line for each:
//   at       the time in milliseconds, for the proxy
//   hosts    the Host headers of requests that arrive together
//   hurry    every timeout is 20 ms
//   local    answers fetch in this process, and counts, instead of calling the registry
import { createInterface } from "node:readline";
import { proxy } from "./proxy.ts";

let now = 0;
Date.now = () => now;
const { fetch } = globalThis;
const timeout = AbortSignal.timeout.bind(AbortSignal);

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  now = command.at;
  let fetched = 0;
  globalThis.fetch = !command.local ? fetch : async () => {
    fetched++;
    return Response.json({ id: "1", slug: "local", status: "active" });
  };
  AbortSignal.timeout = (ms) => timeout(command.hurry ? 20 : ms);
  const background = [];
  const event = { waitUntil: (promise) => background.push(promise) };
  const visit = async (host) => {
    const headers = new Headers({ "x-tenant-id": "forged" });
    if (host) headers.set("host", host);
    const response = await proxy({ headers, nextUrl: { hostname: "localhost" } }, event);
    return {
      status: response.status,
      tenant: response.forwarded?.get("x-tenant-id") ?? "",
      retry: response.headers.get("retry-after") ?? "",
    };
  };
  const responses = await Promise.all(command.hosts.map(visit));
  await Promise.all(background);
  console.log(JSON.stringify({ responses, background: background.length, fetched }));
}
