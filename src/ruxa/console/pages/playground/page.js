// The playground: speaks the public dialect paths with a key that lives 15 minutes in this page's memory only.
const holder = document.getElementById("playground");
const el = (id) => document.getElementById(id);
const words = JSON.parse(holder.dataset.words);
const models = JSON.parse(holder.dataset.models);
const talk = [];
let images = [];
let key = null;
let running = null;
let language = "curl";

// How each dialect asks, and what its stream says. `read` returns {text, think} of one event, or {error}.
const dialects = {
  openai: {
    path: () => "/v1/chat/completions",
    headers: (secret) => ({ authorization: `Bearer ${secret}` }),
    body: (ask) => ({
      model: ask.model,
      messages: [
        ...(ask.system ? [{ role: "system", content: ask.system }] : []),
        ...ask.turns.map((turn) => ({
          role: turn.role,
          content: turn.images.length
            ? [{ type: "text", text: turn.text }, ...turn.images.map((one) => ({ type: "image_url", image_url: { url: one.url } }))]
            : turn.text,
        })),
      ],
      max_tokens: ask.longest,
      stream: true,
    }),
    read: (event) => {
      if (event.error) return { error: event.error.message };
      const delta = event.choices?.[0]?.delta ?? {};
      return { text: delta.content ?? "", think: delta.reasoning_content ?? delta.reasoning ?? "" };
    },
  },
  anthropic: {
    path: () => "/v1/messages",
    headers: (secret) => ({ "x-api-key": secret, "anthropic-version": "2023-06-01" }),
    body: (ask) => ({
      model: ask.model,
      max_tokens: ask.longest,
      ...(ask.system ? { system: ask.system } : {}),
      messages: ask.turns.map((turn) => ({
        role: turn.role,
        content: turn.images.length
          ? [
              ...turn.images.map((one) => ({ type: "image", source: { type: "base64", media_type: one.type, data: one.data } })),
              { type: "text", text: turn.text },
            ]
          : turn.text,
      })),
      stream: true,
    }),
    read: (event) => {
      if (event.type === "error") return { error: event.error?.message };
      if (event.type !== "content_block_delta") return {};
      return { text: event.delta.text ?? "", think: event.delta.thinking ?? "" };
    },
  },
  gemini: {
    path: (ask) => `/v1beta/models/${ask.model}:streamGenerateContent?alt=sse`,
    headers: (secret) => ({ "x-goog-api-key": secret }),
    body: (ask) => ({
      ...(ask.system ? { systemInstruction: { parts: [{ text: ask.system }] } } : {}),
      contents: ask.turns.map((turn) => ({
        role: turn.role === "assistant" ? "model" : "user",
        parts: [{ text: turn.text }, ...turn.images.map((one) => ({ inlineData: { mimeType: one.type, data: one.data } }))],
      })),
      generationConfig: { maxOutputTokens: ask.longest },
    }),
    read: (event) => {
      if (event.error) return { error: event.error.message };
      const parts = event.candidates?.[0]?.content?.parts ?? [];
      const join = (wanted) => parts.filter((part) => Boolean(part.thought) === wanted).map((part) => part.text ?? "").join("");
      return { text: join(false), think: join(true) };
    },
  },
};

function ask(turns) {
  const longest = Number.parseInt(el("longest").value, 10);
  return { model: el("model").value, system: el("system").value.trim(), longest: longest > 0 ? longest : 800, turns };
}

function fill(text, places) {
  return text.replace(/\{(\w+)\}/g, (_, name) => places[name]);
}

function usd(micros) {
  const digits = String(micros).padStart(7, "0");
  return `${digits.slice(0, -6)}.${digits.slice(-6)} USD`;
}

function seconds(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

async function secret() {
  if (key && key.until > Date.now() + 60_000) return key.secret;
  const answer = await fetch("/api/v1/playground/keys", { method: "POST", headers: { "x-csrf-token": holder.dataset.csrf } });
  const data = await answer.json();
  if (!answer.ok) throw new Error(data.message);
  key = { secret: data.key, until: Date.parse(data.expires_at) };
  return key.secret;
}

// A turn on the page. Text goes in as text, never as markup.
function show(role, turn) {
  el("talk-empty")?.remove();
  const box = document.createElement("div");
  box.className = `turn turn-${role === "user" ? "you" : "answer"}`;
  const head = document.createElement("h2");
  head.textContent = role === "user" ? words.you : turn.model;
  const think = Object.assign(document.createElement("div"), { className: "turn-think", hidden: true });
  const text = Object.assign(document.createElement("div"), { className: "turn-text" });
  text.textContent = turn.text;
  const facts = Object.assign(document.createElement("div"), { className: "turn-facts" });
  box.append(head, think, text);
  for (const one of turn.images ?? []) box.append(Object.assign(document.createElement("img"), { src: one.url, alt: one.name }));
  if (role !== "user") box.append(facts);
  el("talk").append(box);
  box.scrollIntoView({ block: "end" });
  return { box, think, text, facts };
}

function fact(holder, label, value) {
  const span = document.createElement("span");
  const bold = document.createElement("b");
  bold.textContent = value;
  span.append(`${label} `, bold);
  holder.append(span);
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    rest += (value ?? "").replaceAll("\r\n", "\n");
    const frames = rest.split("\n\n");
    rest = done ? "" : frames.pop();
    for (const frame of frames) {
      const data = frame
        .split("\n")
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).trimStart())
        .join("\n");
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
    if (done) return;
  }
}

async function receipt(id, facts) {
  for (let attempt = 0; attempt < 12; attempt += 1) {
    const answer = await fetch(`/api/v1/receipts/${id}`);
    if (answer.ok) {
      const data = await answer.json();
      if (data.status !== "pending") {
        fact(facts, words.cost, usd(data.cost_micros));
        fact(facts, words.tokens, fill(words.in_out, { in: data.usage.input_total, out: data.usage.output_total }));
        return;
      }
    }
    await new Promise((next) => setTimeout(next, 250));
  }
  fact(facts, words.cost, words.settling);
}

async function send() {
  const text = el("message").value.trim();
  if (!text || running) return;
  const dialect = dialects[el("dialect").value];
  const turn = { role: "user", text, images };
  talk.push(turn);
  show("user", turn);
  el("message").value = "";
  images = [];
  thumbs();
  running = new AbortController();
  busy(true);
  const wanted = ask(talk);
  const answer = { role: "assistant", text: "", images: [], model: wanted.model };
  const parts = show("assistant", answer);
  parts.box.classList.add("turn-live");
  const began = performance.now();
  let first = null;
  let id = null;
  try {
    const secretKey = await secret();
    const response = await fetch(dialect.path(wanted), {
      method: "POST",
      headers: { "content-type": "application/json", ...dialect.headers(secretKey) },
      body: JSON.stringify(dialect.body(wanted)),
      signal: running.signal,
    });
    id = response.headers.get("x-request-id");
    if (!response.ok) {
      const body = await response.text();
      let message = body;
      try {
        const parsed = JSON.parse(body);
        message = (Array.isArray(parsed) ? parsed[0] : parsed).error?.message ?? body;
      } catch {}
      throw new Error(`${response.status}: ${message}`);
    }
    for await (const event of events(response.body)) {
      const piece = dialect.read(event);
      if (piece.error) throw new Error(piece.error);
      if (piece.think) {
        parts.think.hidden = false;
        parts.think.append(piece.think);
      }
      if (piece.text) {
        first ??= performance.now() - began;
        answer.text += piece.text;
        parts.text.append(piece.text);
        el("talk").scrollTop = el("talk").scrollHeight;
      }
    }
    talk.push(answer);
    el("status").textContent = fill(words.answered, { n: answer.text.length });
  } catch (error) {
    if (error.name === "AbortError") {
      if (answer.text) talk.push(answer);
      else talk.pop();
      fact(parts.facts, words.stopped, "");
      el("status").textContent = words.stopped;
    } else {
      talk.pop();
      parts.box.classList.add("turn-bad");
      parts.text.append((answer.text ? "\n" : "") + error.message);
      el("status").textContent = error.message;
    }
  } finally {
    parts.box.classList.remove("turn-live");
    running = null;
    busy(false);
    code();
  }
  if (first !== null) fact(parts.facts, words.first, seconds(first));
  fact(parts.facts, words.total, seconds(performance.now() - began));
  if (id) {
    const link = Object.assign(document.createElement("a"), { href: `/activity/${id}`, className: "link mono", textContent: id });
    await receipt(id, parts.facts);
    parts.facts.append(link);
  }
  el("talk").scrollTop = el("talk").scrollHeight;
}

function busy(on) {
  el("send").hidden = on;
  el("stop").hidden = !on;
  (on ? el("stop") : el("message")).focus();
}

function thumbs() {
  el("thumbs").replaceChildren(
    ...images.map((one, index) => {
      const button = Object.assign(document.createElement("button"), { type: "button" });
      button.setAttribute("aria-label", fill(words.remove, { name: one.name }));
      button.append(Object.assign(document.createElement("img"), { src: one.url, alt: "" }));
      button.addEventListener("click", () => {
        images.splice(index, 1);
        thumbs();
        code();
      });
      return button;
    }),
  );
}

async function take(files) {
  for (const file of files) {
    if (!file.type.startsWith("image/")) continue;
    if (file.size > 8 * 1024 * 1024) {
      el("status").textContent = words.too_large;
      continue;
    }
    const url = await new Promise((done, failed) => {
      const reader = new FileReader();
      reader.addEventListener("load", () => done(reader.result));
      reader.addEventListener("error", () => failed(reader.error));
      reader.readAsDataURL(file);
    });
    images.push({ name: file.name, type: file.type, url, data: url.slice(url.indexOf(",") + 1) });
  }
  thumbs();
  code();
}

function choices() {
  const dialect = el("dialect").value;
  const kept = el("model").value;
  const fitting = models.filter((model) => model.dialects.includes(dialect));
  el("model").replaceChildren(...fitting.map((model) => new Option(model.name, model.name, false, model.name === kept)));
  price();
}

function price() {
  const model = models.find((one) => one.name === el("model").value);
  el("price").textContent = model ? fill(words.price, model) : "";
  code();
}

// What the page would send, as code. A long image is shortened: the code is to be read.
function code() {
  const dialect = el("dialect").value;
  const text = el("message").value.trim() || words.hello;
  const wanted = ask([...talk, { role: "user", text, images }].map((turn) => ({ ...turn, images: turn.images.map(short) })));
  const base = holder.dataset.base;
  if (language === "curl") {
    const heads = dialects[dialect].headers("$RUXA_KEY");
    const lines = Object.entries(heads).map(([name, value]) => `  -H "${name}: ${value}" \\`);
    const body = JSON.stringify(dialects[dialect].body(wanted), null, 1).replaceAll("'", "'\\''");
    el("code").textContent = [`curl -N '${base}${dialects[dialect].path(wanted)}' \\`, ...lines, `  -H "content-type: application/json" \\`, `  -d '${body}'`].join("\n");
  } else {
    el("code").textContent = python(dialect, base, wanted);
  }
}

function short(image) {
  return { ...image, url: `data:${image.type};base64,…`, data: "…" };
}

// A value as Python writes it; strings are JSON's, which Python reads alike.
function literal(value, indent) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  const inner = `${indent}    `;
  if (Array.isArray(value)) return `[\n${value.map((one) => `${inner}${literal(one, inner)},\n`).join("")}${indent}]`;
  if (typeof value === "object")
    return `{${Object.entries(value)
      .map(([name, one]) => `${JSON.stringify(name)}: ${literal(one, indent)}`)
      .join(", ")}}`;
  return JSON.stringify(value);
}

function python(dialect, base, wanted) {
  const body = dialects[dialect].body(wanted);
  const lit = (value) => literal(value, "    ");
  if (dialect === "openai")
    return `import os\nfrom openai import OpenAI\n\nclient = OpenAI(base_url="${base}/v1", api_key=os.environ["RUXA_KEY"])\nstream = client.chat.completions.create(\n    model=${lit(body.model)},\n    messages=${lit(body.messages)},\n    max_tokens=${body.max_tokens},\n    stream=True,\n)\nfor chunk in stream:\n    if chunk.choices:\n        print(chunk.choices[0].delta.content or "", end="")\n`;
  if (dialect === "anthropic")
    return `import os\nfrom anthropic import Anthropic\n\nclient = Anthropic(base_url="${base}", api_key=os.environ["RUXA_KEY"])\nwith client.messages.stream(\n    model=${lit(body.model)},\n    max_tokens=${body.max_tokens},${body.system ? `\n    system=${lit(body.system)},` : ""}\n    messages=${lit(body.messages)},\n) as stream:\n    for text in stream.text_stream:\n        print(text, end="")\n`;
  return `import os\nfrom google import genai\n\nclient = genai.Client(\n    api_key=os.environ["RUXA_KEY"],\n    http_options={"base_url": "${base}"},\n)\nfor chunk in client.models.generate_content_stream(\n    model=${lit(wanted.model)},\n    contents=${lit(body.contents)},\n    config={"max_output_tokens": ${wanted.longest}${wanted.system ? `, "system_instruction": ${lit(wanted.system)}` : ""}},\n):\n    print(chunk.text or "", end="")\n`;
}

el("say").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
el("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});
el("message").addEventListener("input", code);
el("message").addEventListener("paste", (event) => take(event.clipboardData.files));
el("stop").addEventListener("click", () => running?.abort());
el("attach").addEventListener("click", () => el("image").click());
el("image").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = "";
});
el("clear").addEventListener("click", () => {
  running?.abort();
  talk.length = 0;
  const empty = Object.assign(document.createElement("p"), { className: "talk-empty", id: "talk-empty", textContent: words.empty });
  el("talk").replaceChildren(empty);
  code();
});
el("dialect").addEventListener("change", choices);
el("model").addEventListener("change", price);
for (const id of ["system", "longest"]) el(id).addEventListener("input", code);
for (const tab of [el("tab-curl"), el("tab-python")]) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    if (!/^Arrow(Left|Right)$/.test(event.key)) return;
    const next = tab.id === "tab-curl" ? el("tab-python") : el("tab-curl");
    choose(next);
    next.focus();
  });
}

function choose(tab) {
  for (const one of [el("tab-curl"), el("tab-python")]) {
    one.setAttribute("aria-selected", one === tab);
    one.tabIndex = one === tab ? 0 : -1;
  }
  el("code").setAttribute("aria-labelledby", tab.id);
  language = tab.id.slice(4);
  code();
}

choices();
