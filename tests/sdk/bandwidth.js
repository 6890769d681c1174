// Bandwidth's published node library against the real binary. argv: base URL, user id, token, secret.
// Prints one JSON line of what each step gave; the test compares it whole.
"use strict";
const Bandwidth = require("node-bandwidth");

const [baseUrl, userId, apiToken, apiSecret] = process.argv.slice(2);
const client = new Bandwidth({ baseUrl, userId, apiToken, apiSecret });

async function refusal(promise) {
  try {
    await promise;
    return "no error";
  } catch (error) {
    return { status: error.statusCode || error.status || null, message: error.message };
  }
}

async function run() {
  const out = {};
  const app = await client.Application.create({ name: "Reception", incomingCallUrl: "https://hooks.example.com/calls" });
  out.application = await client.Application.get(app.id);
  await client.Application.update(app.id, { name: "Desk", incomingCallUrl: "https://hooks.example.com/desk" });
  out.applicationAfter = await client.Application.get(app.id);
  out.applications = (await client.Application.list()).applications.map((a) => a.id);

  const domain = await client.Domain.create({ name: "acme-lab", description: "Lab phones" });
  out.domains = (await client.Domain.list()).domains.filter((d) => d.id === domain.id);
  out.domainTwice = await refusal(client.Domain.create({ name: "acme-lab" }));

  const create = (name, more) => client.Endpoint.create(domain.id, Object.assign(
    { name, credentials: { password: "s3same!" } }, more));
  const endpoint = await create("front_desk", { description: "Lobby phone", applicationId: app.id, enabled: "true" });
  out.endpoint = await client.Endpoint.get(domain.id, endpoint.id);
  out.endpointTwice = await refusal(create("front_desk"));
  out.shortPassword = await refusal(create("other", { credentials: { password: "12345" } }));
  await client.Endpoint.update(domain.id, endpoint.id, { description: "Hall", enabled: false });
  out.endpointAfter = await client.Endpoint.get(domain.id, endpoint.id);
  for (const name of ["a", "b", "c"]) await create(name);
  const first = await client.Endpoint.list(domain.id, { size: 3 });
  const second = first.hasNextPage ? await first.getNextPage() : { endpoints: [] };
  out.pages = [first.endpoints.length, second.endpoints.length];
  await client.Endpoint.delete(domain.id, endpoint.id);
  out.gone = await refusal(client.Endpoint.get(domain.id, endpoint.id));
  await client.Domain.delete(domain.id);
  out.domainGone = await refusal(client.Endpoint.list(domain.id));
  await client.Application.delete(app.id);
  out.applicationGone = await refusal(client.Application.get(app.id));
  out.ids = { app: app.id, domain: domain.id, endpoint: endpoint.id };
  process.stdout.write(JSON.stringify(out));
}

run().catch((error) => {
  console.error(error);
  process.exit(1);
});
