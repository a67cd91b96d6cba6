// This script uses Mistral's TypeScript client for the beta Conversations and Agents API, in
// steps. Only the URL and the replies of the model are specific to the emulator.
//
// Each step prints one line: its name and "ok" or the error. The exit status is 1 if a step
// fails.
//
//     node --input-type=module - http://127.0.0.1:8080 < client.mjs

import { deepEqual, equal, match, notEqual, ok } from "node:assert/strict";

import { Mistral } from "@mistralai/mistralai";
import { HTTPValidationError, MistralError } from "@mistralai/mistralai/models/errors";

const serverURL = process.argv[2];
const client = new Mistral({ apiKey: "interop-key", serverURL });
const { conversations, agents } = client.beta;
const model = "mistral-small-latest";
const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather of a city.",
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
    },
  },
};

// Steps

await step("start", async () => {
  const c = await recognized(conversations.start({ model, inputs: "Say hello" }));
  equal(c.object, "conversation.response");
  match(c.conversationId, /./);
  equal(c.outputs.length, 1);
  const [message] = c.outputs;
  equal(message.type, "message.output");
  equal(message.role, "assistant");
  equal(message.content, "hello");
  equal(message.model, model);
  match(message.id, /./);
  ok(message.createdAt instanceof Date && message.completedAt instanceof Date, "the times of the message are not dates");
  billed(c.usage);
});

await step("start with entries and settings", async () => {
  const c = await recognized(conversations.start({
    model,
    instructions: "Be brief.",
    name: "a name",
    description: "a description",
    metadata: { ticket: "17" },
    completionArgs: { temperature: 0.2, maxTokens: 50, stop: ["5"] },
    inputs: [
      { role: "user", content: "My name is Ada" },
      { role: "assistant", content: "Hello, Ada." },
      {
        role: "user",
        content: [
          { type: "text", text: "Count to 9" },
          { type: "image_url", imageUrl: "https://example.com/numbers.png" },
        ],
      },
    ],
  }));
  equal(text(c), "1 2 3 4 ");
  const got = await recognized(conversations.get({ conversationId: c.conversationId }));
  equal(got.id, c.conversationId);
  equal(got.model, model);
  equal(got.instructions, "Be brief.");
  equal(got.name, "a name");
  equal(got.description, "a description");
  deepEqual(got.metadata, { ticket: "17" });
  equal(got.completionArgs.temperature, 0.2);
  equal(got.completionArgs.maxTokens, 50);
  ok(got.createdAt instanceof Date && got.updatedAt instanceof Date, "the times of the conversation are not dates");
});

await step("start without storing", async () => {
  const c = await recognized(conversations.start({ model, inputs: "Say nothing is kept", store: false }));
  equal(text(c), "nothing is kept");
  checkError(await failure(conversations.get({ conversationId: c.conversationId })), 404, "Conversation not found");
});

await step("structured output", async () => {
  const c = await recognized(conversations.start({
    model,
    inputs: "Who wrote it?",
    completionArgs: {
      responseFormat: {
        type: "json_schema",
        jsonSchema: {
          name: "book",
          strict: true,
          schemaDefinition: {
            type: "object",
            properties: { title: { type: "string" }, year: { type: "integer", minimum: 1900, maximum: 1999 } },
            required: ["title", "year"],
            additionalProperties: false,
          },
        },
      },
    },
  }));
  const book = JSON.parse(text(c));
  deepEqual(Object.keys(book).sort(), ["title", "year"]);
  equal(typeof book.title, "string");
  ok(Number.isInteger(book.year) && book.year >= 1900 && book.year <= 1999, `the year is ${book.year}`);
});

await step("start stream", async () => {
  const s = await collect(conversations.startStream({ model, inputs: "Count to 20" }));
  deepEqual(s.kinds, ["conversation.response.started", "message.output.delta", "conversation.response.done"]);
  match(s.conversationId, /./);
  equal(s.text, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20");
  ok(s.deltas > 3, `the text arrived in ${s.deltas} deltas, want more than 3`);
  billed(s.usage);
  const { entries } = await recognized(conversations.getHistory({ conversationId: s.conversationId }));
  equal(entries[1].content, s.text);
  equal(entries[1].id, s.ids[0]);
});

await step("append", async () => {
  const c = await recognized(conversations.start({ model, inputs: "My name is Ada" }));
  const more = await recognized(append(c.conversationId, "What is my name?"));
  equal(more.conversationId, c.conversationId);
  equal(text(more), "Your name is Ada.");
  ok(more.usage.promptTokens > c.usage.promptTokens, "the prompt does not include the history");
});

await step("append stream", async () => {
  const c = await recognized(conversations.start({ model, inputs: "What is 6*7?" }));
  const s = await collect(appendStream(c.conversationId, "Add 8 to that"));
  equal(s.conversationId, c.conversationId);
  equal(s.text, "50");
  billed(s.usage);
});

await step("restart", async () => {
  const { c, from } = await twoTurns();
  const other = await recognized(conversations.restart({
    conversationId: c.conversationId,
    conversationRestartRequest: { fromEntryId: from, inputs: "Multiply that by 3", metadata: { branch: "b" } },
  }));
  notEqual(other.conversationId, c.conversationId);
  equal(text(other), "12");
  equal((await history(c.conversationId)).length, 4);
  deepEqual((await history(other.conversationId)).map((e) => e.content), ["What is 2+2?", "4", "Multiply that by 3", "12"]);
});

await step("restart stream", async () => {
  const { c, from } = await twoTurns();
  const s = await collect(conversations.restartStream({
    conversationId: c.conversationId,
    conversationRestartStreamRequest: { fromEntryId: from, inputs: "Multiply that by 5" },
  }));
  notEqual(s.conversationId, c.conversationId);
  equal(s.text, "20");
});

await step("history", async () => {
  const { c } = await twoTurns();
  const got = await recognized(conversations.getHistory({ conversationId: c.conversationId }));
  equal(got.object, "conversation.history");
  equal(got.conversationId, c.conversationId);
  deepEqual(got.entries.map((e) => [e.type, e.role, e.content]), [
    ["message.input", "user", "What is 2+2?"],
    ["message.output", "assistant", "4"],
    ["message.input", "user", "Multiply that by 10"],
    ["message.output", "assistant", "40"],
  ]);
  equal(new Set(got.entries.map((e) => e.id)).size, 4);
  ok(got.entries.every((e) => e.createdAt instanceof Date), "the time of an entry is not a date");
});

await step("messages", async () => {
  const c = await recognized(conversations.start({ model, tools: [weather], inputs: "How is the weather?" }));
  await recognized(append(c.conversationId, [result(c.outputs[0], "sun")]));
  const got = await recognized(conversations.getMessages({ conversationId: c.conversationId }));
  equal(got.object, "conversation.messages");
  deepEqual(got.messages.map((m) => m.type), ["message.input", "message.output"]);
  equal(got.messages[1].content, "The result of get_weather is: sun");
});

await step("list conversations", async () => {
  const created = [];
  for (const n of ["one", "two", "three"]) {
    created.push((await recognized(conversations.start({ model, inputs: `Say ${n}` }))).conversationId);
  }
  const first = await recognized(conversations.list({ page: 0, pageSize: 2 }));
  const second = await recognized(conversations.list({ page: 1, pageSize: 2 }));
  equal(first.length, 2);
  deepEqual([...first, ...second].slice(0, 3).map((c) => c.id), created.reverse());
  ok((await recognized(conversations.list())).length > 3, "the default page is too small");
});

await step("delete conversation", async () => {
  const { conversationId } = await recognized(conversations.start({ model, inputs: "Say goodbye" }));
  equal(await conversations.delete({ conversationId }), undefined);
  checkError(await failure(conversations.get({ conversationId })), 404, "Conversation not found");
});

await step("agent", async () => {
  const a = await recognized(agents.create({
    model,
    name: "counter",
    description: "It counts.",
    instructions: "Count what you are told to.",
    tools: [weather, { type: "web_search" }],
    completionArgs: { stop: ["4"], toolChoice: "auto" },
    metadata: { team: "numbers" },
  }));
  equal(a.object, "agent");
  equal(a.version, 0);
  deepEqual(a.versions, [0]);
  ok(a.createdAt instanceof Date && a.updatedAt instanceof Date, "the times of the agent are not dates");
  deepEqual(await recognized(agents.get({ agentId: a.id })), a);
  deepEqual(a.tools.map((t) => t.type), ["function", "web_search"]);
  equal(a.tools[0].function.name, "get_weather");

  const c = await recognized(conversations.start({ agentId: a.id, inputs: "Count to 6" }));
  equal(text(c), "1 2 3 ");
  equal(c.outputs[0].agentId, a.id);
  equal((await recognized(conversations.get({ conversationId: c.conversationId }))).agentId, a.id);
  const s = await collect(appendStream(c.conversationId, "Count to 7"));
  equal(s.text, "1 2 3 ");
});

await step("agent versions", async () => {
  const a = await recognized(agents.create({ model, name: "versions", completionArgs: { stop: ["5"] } }));
  const updated = await recognized(agents.update({
    agentId: a.id,
    updateAgentRequest: { name: "versions again", completionArgs: { stop: ["3"] } },
  }));
  equal(updated.id, a.id);
  equal(updated.version, 1);
  equal(updated.name, "versions again");
  deepEqual(updated.versions, [0, 1]);
  deepEqual((await recognized(agents.listVersions({ agentId: a.id }))).map((v) => v.version), [1, 0]);
  equal((await recognized(agents.getVersion({ agentId: a.id, version: "0" }))).name, "versions");
  equal((await recognized(agents.get({ agentId: a.id, agentVersion: 0 }))).name, "versions");
  equal((await recognized(agents.get({ agentId: a.id }))).name, "versions again");

  const count = async (agentVersion) => text(await recognized(conversations.start({ agentId: a.id, agentVersion, inputs: "Count to 6" })));
  equal(await count(undefined), "1 2 ");
  equal(await count(0), "1 2 3 4 ");
  equal((await recognized(agents.updateVersion({ agentId: a.id, version: 0 }))).version, 0);
  equal(await count(undefined), "1 2 3 4 ");
});

await step("agent aliases", async () => {
  const a = await recognized(agents.create({ model, name: "aliases", completionArgs: { stop: ["5"] } }));
  const agentId = a.id;
  await recognized(agents.update({ agentId, updateAgentRequest: { completionArgs: { stop: ["3"] } } }));
  const created = await recognized(agents.createVersionAlias({ agentId, alias: "stable", version: 0 }));
  equal(created.alias, "stable");
  equal(created.version, 0);
  ok(created.createdAt instanceof Date && created.updatedAt instanceof Date, "the times of the alias are not dates");
  equal((await recognized(agents.getVersion({ agentId, version: "stable" }))).version, 0);
  equal((await recognized(agents.get({ agentId, agentVersion: "stable" }))).version, 0);

  const count = async () => text(await recognized(conversations.start({ agentId, agentVersion: "stable", inputs: "Count to 6" })));
  equal(await count(), "1 2 3 4 ");
  equal((await recognized(agents.createVersionAlias({ agentId, alias: "stable", version: 1 }))).version, 1);
  equal(await count(), "1 2 ");
  await recognized(agents.createVersionAlias({ agentId, alias: "old", version: 0 }));
  deepEqual((await recognized(agents.listVersionAliases({ agentId }))).map((x) => [x.alias, x.version]), [["old", 0], ["stable", 1]]);
  equal(await agents.deleteVersionAlias({ agentId, alias: "stable" }), undefined);
  checkError(await failure(agents.getVersion({ agentId, version: "stable" })), 404, "Agent version not found");
});

await step("list agents", async () => {
  const created = [];
  for (const n of [1, 2, 3]) {
    created.push((await recognized(agents.create({ model, name: `listed ${n}`, metadata: { list: "yes" } }))).id);
  }
  const page = await recognized(agents.list({ pageSize: 2, metadata: { list: "yes" } }));
  equal(page.length, 2);
  deepEqual((await recognized(agents.list({ name: "listed 2" }))).map((a) => a.id), [created[1]]);
  deepEqual((await recognized(agents.list({ search: "listed", pageSize: 10 }))).map((a) => a.id).sort(), [...created].sort());
  const all = [];
  let pages = 0;
  for await (const { result } of await agents.listPages({ pageSize: 2, search: "listed" })) {
    recognized(result);
    pages++;
    all.push(...result.data.map((a) => a.id));
  }
  equal(pages, 2);
  deepEqual(all.sort(), [...created].sort());
});

await step("delete agent", async () => {
  const { id: agentId } = await recognized(agents.create({ model, name: "gone" }));
  equal(await agents.delete({ agentId }), undefined);
  checkError(await failure(agents.get({ agentId })), 404, "Agent not found");
});

await step("function calling", async () => {
  let c = await recognized(conversations.start({ model, tools: [weather], inputs: "What is the weather in Paris?" }));
  let calls = 0;
  for (let call; (call = c.outputs.find((e) => e.type === "function.call")); calls++) {
    equal(call.name, "get_weather");
    match(call.toolCallId, /./);
    const { city } = typeof call.arguments === "string" ? JSON.parse(call.arguments) : call.arguments;
    equal(typeof city, "string");
    c = await recognized(append(c.conversationId, [result(call, "21 degrees")]));
  }
  equal(calls, 1);
  equal(text(c), "The result of get_weather is: 21 degrees");
  deepEqual((await history(c.conversationId)).map((e) => e.type), ["message.input", "function.call", "function.result", "message.output"]);
});

await step("function calling stream", async () => {
  const s = await collect(conversations.startStream({ model, tools: [weather], inputs: "What is the weather in Rome?" }));
  equal(s.calls.length, 1);
  const [call] = s.calls;
  equal(call.name, "get_weather");
  equal(typeof JSON.parse(call.arguments).city, "string");
  const more = await collect(appendStream(s.conversationId, [result(call, "rain")]));
  equal(more.text, "The result of get_weather is: rain");
});

await step("tool choice", async () => {
  const send = (toolChoice) => recognized(conversations.start({ model, tools: [weather], inputs: "Say weather", completionArgs: { toolChoice } }));
  equal(text(await send("none")), "weather");
  equal((await send("required")).outputs[0].type, "function.call");
});

await step("web search", async () => {
  const c = await recognized(conversations.start({ model, tools: [{ type: "web_search" }], inputs: "Search the web for tides" }));
  deepEqual(c.outputs.map((e) => e.type), ["tool.execution", "message.output"]);
  const [run, message] = c.outputs;
  equal(run.name, "web_search");
  equal(JSON.parse(run.arguments).query, "Search the web for tides");
  ok(run.info, "the search does not have an info");
  cited(message.content);
  deepEqual((await history(c.conversationId)).map((e) => e.type), ["message.input", "tool.execution", "message.output"]);
});

await step("web search stream", async () => {
  const s = await collect(conversations.startStream({ model, tools: [{ type: "web_search_premium" }], inputs: "Search the news for tides" }));
  deepEqual(s.kinds, [
    "conversation.response.started",
    "tool.execution.started",
    "tool.execution.delta",
    "tool.execution.done",
    "message.output.delta",
    "conversation.response.done",
  ]);
  match(s.text, /This is what I found/);
  cited([{ type: "text", text: s.text }, ...s.chunks]);
});

await step("other tools of the service", async () => {
  const send = (type, inputs, more) => recognized(conversations.start({ model, tools: [{ type, ...more }], inputs }));
  const code = await send("code_interpreter", "Compute 6 x 7");
  deepEqual(code.outputs.map((e) => e.type), ["tool.execution", "message.output"]);
  equal(code.outputs[0].name, "code_interpreter");
  const image = await send("image_generation", "Draw a gopher");
  const file = image.outputs[1].content.find((chunk) => chunk.type === "tool_file");
  match(file.fileId, /./);
  const library = await send("document_library", "Which document tells?", { libraryIds: ["lib"] });
  equal(library.outputs[1].content.find((chunk) => chunk.type === "tool_reference").tool, "document_library");
  equal(library.usage.connectors.document_library, 1);
});

await step("confirmation", async () => {
  const tools = [{ type: "web_search", toolConfiguration: { requiresConfirmation: ["web_search"] } }];
  for (const [confirmation, types] of [["allow", ["tool.execution", "message.output"]], ["deny", ["message.output"]]]) {
    const c = await recognized(conversations.start({ model, tools, inputs: "Search for tides" }));
    equal(c.outputs.length, 1);
    const [call] = c.outputs;
    equal(call.type, "function.call");
    equal(call.confirmationStatus, "pending");
    const next = await recognized(conversations.append({
      conversationId: c.conversationId,
      conversationAppendRequest: { toolConfirmations: [{ toolCallId: call.toolCallId, confirmation }] },
    }));
    deepEqual(next.outputs.map((e) => e.type), types);
  }
});

await step("handoff between agents", async () => {
  const expert = await recognized(agents.create({ model, name: "maths", description: "answers questions about numbers" }));
  const front = await recognized(agents.create({ model, name: "front", handoffs: [expert.id] }));
  const request = { agentId: front.id, inputs: "What about the numbers 6 x 7?" };
  const c = await recognized(conversations.start(request));
  deepEqual(c.outputs.map((e) => e.type), ["agent.handoff", "message.output"]);
  equal(c.outputs[1].agentId, expert.id);
  equal(text(c), "42");
  const clientSide = await recognized(conversations.start({ ...request, handoffExecution: "client" }));
  deepEqual(clientSide.outputs.map((e) => e.type), ["agent.handoff"]);
  equal(text(await recognized(append(clientSide.conversationId, "Well, 6 x 7?"))), "42");
});

await step("guardrail", async () => {
  const guardrails = [{ moderationLlmV2: { action: "block" } }];
  const send = (inputs) => conversations.start({ model, guardrails, inputs });
  equal(text(await recognized(send("Say hello"))), "hello");
  const error = await failure(send("Say bomb"));
  equal(error.statusCode, 403);
  deepEqual(Object.keys(JSON.parse(error.body)).sort(), ["error", "guardrails"]);
});

await step("handoff", async () => {
  const c = await recognized(conversations.start({ model, inputs: "hand off" }));
  deepEqual(c.outputs.map((e) => e.type), ["agent.handoff", "message.output"]);
  equal(c.outputs[0].previousAgentName, "front desk");
  equal(c.outputs[0].nextAgentName, "workshop");
  const s = await collect(conversations.startStream({ model, inputs: "hand off" }));
  deepEqual(s.kinds, [
    "conversation.response.started",
    "agent.handoff.started",
    "agent.handoff.done",
    "message.output.delta",
    "conversation.response.done",
  ]);
  deepEqual((await history(s.conversationId)).map((e) => e.type), ["message.input", "agent.handoff", "message.output"]);
});

await step("thinking", async () => {
  const c = await recognized(conversations.start({ model, inputs: "think" }));
  deepEqual(c.outputs[0].content.map((chunk) => chunk.type), ["thinking", "text"]);
  equal(c.outputs[0].content[0].thinking[0].text, "A thought.");
  const s = await collect(conversations.startStream({ model, inputs: "think" }));
  equal(s.text, "An answer.");
  equal(s.chunks.flatMap((chunk) => chunk.thinking).map((t) => t.text).join(""), "A thought.");
  deepEqual((await history(s.conversationId))[1].content.map((chunk) => chunk.type), ["thinking", "text"]);
});

await step("429 of requests", async () => {
  const send = () => conversations.start({ model: "one-request", inputs: "Say once" });
  equal(text(await recognized(send())), "once");
  const error = await failure(send());
  checkError(error, 429, "Rate limit exceeded");
  const body = JSON.parse(error.body);
  equal(body.type, "rate_limited");
  equal(body.code, "1300");
});

await step("429 of tokens", async () => {
  const send = () => conversations.startStream({ model: "few-tokens", inputs: "Say once" });
  equal((await collect(send())).text, "once");
  checkError(await failure(send()), 429, "Token rate limit reached.");
});

await step("429 and the client's own retries", async () => {
  const retries = { strategy: "backoff", backoff: { initialInterval: 50, maxInterval: 200, exponent: 1.5, maxElapsedTime: 20_000 } };
  const send = (word) => recognized(conversations.start({ model: "few-requests", inputs: `Say ${word}` }, { retries }));
  deepEqual((await Promise.all([send("1"), send("2")])).map(text), ["1", "2"]);
});

await step("401", async () => {
  const other = new Mistral({ apiKey: "wrong-key", serverURL });
  checkError(await failure(other.beta.conversations.start({ model, inputs: "Say no" })), 401, "Invalid API Key");
});

await step("404", async () => {
  const conversationId = "conv_00000000000000000000000000000000";
  checkError(await failure(append(conversationId, "Say no")), 404, "Conversation not found");
  checkError(await failure(appendStream(conversationId, "Say no")), 404, "Conversation not found");
  checkError(await failure(conversations.getHistory({ conversationId })), 404, "Conversation not found");
  checkError(await failure(agents.get({ agentId: "ag_00000000000000000000000000000000" })), 404, "Agent not found");
});

await step("422", async () => {
  const error = await failure(conversations.start({ model, inputs: "Say no", completionArgs: { temperature: 9 } }));
  ok(error instanceof HTTPValidationError, `${error.name} instead of HTTPValidationError: ${error.message}`);
  equal(error.statusCode, 422);
  equal(error.detail.length, 1);
  deepEqual(error.detail[0].loc, ["body", "completion_args", "temperature"]);
  match(error.detail[0].msg, /less than or equal/);
  const both = await failure(conversations.start({ inputs: "Say no" }));
  ok(both instanceof HTTPValidationError, `${both.name} instead of HTTPValidationError: ${both.message}`);
});

await step("an error within a stream", async () => {
  const kinds = [];
  let last;
  for await (const event of await conversations.startStream({ model, inputs: "fail midway" })) {
    recognized(event);
    kinds.push(event.event);
    last = event.data;
  }
  equal(kinds[0], "conversation.response.started");
  ok(kinds.includes("message.output.delta"), `got the events ${kinds}, want a message before the error`);
  equal(last.type, "conversation.response.error");
  equal(last.message, "the model is unavailable");
  equal(typeof last.code, "number");
});

await step("a stream that is closed early", async () => {
  const s = await conversations.startStream({ model, inputs: "Count to 10000" });
  for await (const { data } of s) {
    if (data.type === "message.output.delta") break;
  }
  equal(text(await recognized(conversations.start({ model, inputs: "Say next" }))), "next");
});

// Helpers

async function step(name, run) {
  let outcome = "ok";
  try {
    await run();
  } catch (error) {
    outcome = describe(error);
    process.exitCode = 1;
  }
  console.log(`${name}: ${outcome}`);
}

// describe returns an error as one line, with the client's validation error and the content of
// the response.
function describe(error) {
  const cause = error.cause?.message ? ` (${error.cause.message})` : "";
  const message = typeof error.pretty === "function" ? error.pretty() : error.message + cause;
  const body = typeof error.body === "string" ? ` (${error.statusCode}: ${error.body.slice(0, 1000)})` : "";
  return `${error.name}: ${message}${body}`.replace(/\s+/g, " ");
}

// recognized returns a response, or a promise of one, and checks that the client recognizes
// each value. The client accepts values of unknown types and marks them with isUnknown.
function recognized(response) {
  if (response instanceof Promise) return response.then(recognized);
  const check = (value, path) => {
    if (typeof value !== "object" || value === null || value instanceof Date) return;
    ok(value.isUnknown !== true, `the client does not recognize ${path}: ${JSON.stringify(value.raw)}`);
    for (const [name, part] of Object.entries(value)) check(part, `${path}.${name}`);
  };
  check(response, "the response");
  return response;
}

// collect reads a stream to its end.
async function collect(promise) {
  const s = { kinds: [], conversationId: "", text: "", deltas: 0, ids: [], chunks: [], calls: [], usage: undefined };
  for await (const { event, data } of await promise) {
    recognized(data);
    equal(event, data.type);
    ok(data.createdAt instanceof Date, `the time of ${event} is not a date`);
    if (s.kinds.at(-1) !== event) s.kinds.push(event);
    switch (event) {
      case "conversation.response.started":
        s.conversationId = data.conversationId;
        break;
      case "message.output.delta":
        s.deltas++;
        if (!s.ids.includes(data.id)) s.ids.push(data.id);
        if (typeof data.content === "string") s.text += data.content;
        else if (data.content.type === "text") s.text += data.content.text;
        else s.chunks.push(data.content);
        break;
      case "function.call.delta": {
        const call = s.calls.find((c) => c.toolCallId === data.toolCallId);
        if (call) call.arguments += data.arguments;
        else s.calls.push({ toolCallId: data.toolCallId, name: data.name, arguments: data.arguments });
        break;
      }
      case "conversation.response.done":
        s.usage = data.usage;
    }
  }
  equal(s.kinds.at(-1), "conversation.response.done");
  return s;
}

// failure returns the error of a call. It throws if the call succeeds.
async function failure(promise) {
  let response;
  try {
    response = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`got a response, want an error: ${JSON.stringify(response)}`);
}

// checkError checks the status and the message of an error of the client.
function checkError(error, status, message) {
  ok(error instanceof MistralError, describe(error));
  equal(error.statusCode, status);
  match(error.contentType, /^application\/json/);
  const body = JSON.parse(error.body);
  equal(body.message ?? body.detail, message);
}

function billed(usage) {
  ok(usage.promptTokens > 0 && usage.completionTokens > 0, `the usage is ${JSON.stringify(usage)}`);
  equal(usage.totalTokens, usage.promptTokens + usage.completionTokens + (usage.connectorTokens ?? 0));
}

function cited(content) {
  const found = content.find((chunk) => chunk.type === "tool_reference");
  ok(found, "the message contains no reference");
  match(found.tool, /^web_search/);
  match(found.title, /./);
  match(found.url, /^https:/);
}

function text(response) {
  const message = response.outputs.find((e) => e.type === "message.output");
  ok(message, `got the outputs ${response.outputs.map((e) => e.type)}, want a message`);
  return message.content;
}

function append(conversationId, inputs) {
  return conversations.append({ conversationId, conversationAppendRequest: { inputs } });
}

function appendStream(conversationId, inputs) {
  return conversations.appendStream({ conversationId, conversationAppendStreamRequest: { inputs } });
}

async function history(conversationId) {
  return (await recognized(conversations.getHistory({ conversationId }))).entries;
}

// twoTurns returns a conversation of two turns and the id of its first output.
async function twoTurns() {
  const c = await recognized(conversations.start({ model, inputs: "What is 2+2?" }));
  equal(text(await recognized(append(c.conversationId, "Multiply that by 10"))), "40");
  return { c, from: c.outputs[0].id };
}

function result(call, text) {
  return { type: "function.result", toolCallId: call.toolCallId, result: text };
}
