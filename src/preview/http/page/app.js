// The page beside the picture: polls what the program says, shows it, and sends what the viewer wishes.
"use strict";

const POLL_MS = 250;
const FETCH_PATIENCE_MS = 3000;
const ERROR_SHOWN_MS = 5000;
// The program takes a moment to do what it was told; until then controls show the wish.
const WISH_HOLDS_MS = 1500;
const STREAM_RETRY_MS = { first: 500, most: 8000 };
// A stream this young may not have reached the server yet.
const STREAM_STARTS_MS = 1500;

const by = (id) => document.getElementById(id);
const SELECTS = ["method", "layer", "layout", "colormap"];
const STATE_NAMES = { live: "live", frozen: "frozen", no_signal: "no signal", ended: "ended" };
let status = null;

// Text without needless rewriting: screen readers and selections would notice.
function setText(id, text) {
  const element = by(id);
  if (element.textContent !== text) element.textContent = text;
}

const blanks = (label) => label.replaceAll("_", " ");

// --- What the program says ---------------------------------------------------------------------

async function poll() {
  for (;;) {
    if (!document.hidden) {
      try {
        const answer = await fetch(`/status?viewer=${stream.name}`, { signal: AbortSignal.timeout(FETCH_PATIENCE_MS) });
        if (answer.ok) {
          status = await answer.json();
          show();
        } else {
          showState("lost", "not available", (await answer.text()).trim());
        }
      } catch {
        showState("lost", "connection lost", "trying again");
        stream.isLost();
      }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function show() {
  showState(status.state, STATE_NAMES[status.state] ?? status.state, status.message ?? "");
  setText("source", status.source ?? "");
  showTop(status.top ?? [], status.targets ?? []);
  showFigures();
  showProgress(status.progress);
  settleWishes();
  showControls();
  stream.check(status.watching);
}

function showState(state, name, message) {
  by("state").dataset.state = state;
  setText("state-name", name);
  setText("state-message", message);
}

function showTop(top, targets) {
  const list = by("top");
  while (list.children.length > top.length) list.lastElementChild.remove();
  while (list.children.length < top.length) list.append(newRow());
  const explained = new Set(targets.map((target) => target.index));
  top.forEach((entry, index) => {
    const row = list.children[index];
    const percent = (100 * (entry.prob ?? 0)).toFixed(1);
    row.querySelector(".name").textContent = blanks(entry.label);
    row.querySelector(".label").title = blanks(entry.label);
    row.querySelector(".percent").textContent = `${percent} %`;
    row.querySelector(".bar").style.width = `${percent}%`;
    row.classList.toggle("is-explained", explained.has(entry.index));
  });
}

function newRow() {
  const make = (tag, name, ...children) => {
    const element = document.createElement(tag);
    element.className = name;
    element.append(...children);
    return element;
  };
  const label = make("span", "label", make("span", "name"), make("span", "mark", "explained"));
  return make("li", "", label, make("span", "percent"), make("div", "track", make("div", "bar")));
}

function showFigures() {
  const known = (value) => value !== null && value !== undefined;
  const number = (value, digits, unit) => (known(value) ? `${Number(value).toFixed(digits)} ${unit}` : "–");
  const pair = (latency) => {
    const digits = latency && latency.p95 >= 100 ? 0 : 1;
    return latency && known(latency.p50) ? `${number(latency.p50, digits, "").trim()} / ${number(latency.p95, digits, "ms")}` : "–";
  };
  for (const name of ["captured", "shown", "explained"]) setText(`fps-${name}`, number(status.fps?.[name], 1, "fps"));
  setText("latency", pair(status.latency_ms));
  setText("map-latency", pair(status.map_latency_ms));
  setText("dropped", known(status.frames?.dropped) ? `${status.frames.dropped} of ${status.frames.captured}` : "–");
  setText("unshown", String(status.frames?.unshown ?? "–"));
  setText("size", status.size ? status.size.join(" × ") : "–");
  setText("viewers", `${status.viewers} of at most ${status.most_viewers}`);
  setText("uptime", known(status.uptime_s) ? duration(status.uptime_s) : "–");
  setText("recording", status.recording ?? "no");
}

function duration(seconds) {
  const whole = Math.floor(seconds);
  const two = (value) => String(value).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

function showProgress(progress) {
  by("progress").hidden = !progress;
  if (!progress) return;
  setText("progress-text", `explaining: ${progress.done} of ${progress.total}`);
  by("progress-bar").max = Math.max(progress.total, 1);
  by("progress-bar").value = progress.done;
}

// --- What the viewer wishes --------------------------------------------------------------------

// Setting -> { value, until }: wished for, but perhaps not yet in what the program says.
const wished = new Map();

function setting(name) {
  return wished.has(name) ? wished.get(name).value : status.settings[name];
}

// Forgets what has come true, and what has had its time.
function settleWishes() {
  for (const [name, wish] of wished) {
    if (wish.until < performance.now() || wish.value === status.settings?.[name]) wished.delete(name);
  }
}

// A control that has the focus belongs to the viewer; it is brought up to date when the focus leaves.
const isFree = (control) => control !== document.activeElement;

function showControls() {
  if (!status?.settings) return;
  for (const name of SELECTS) if (isFree(by(name))) showSelect(by(name), name);
  if (isFree(by("alpha"))) by("alpha").value = setting("alpha");
  setText("alpha-value", Number(isFree(by("alpha")) ? setting("alpha") : by("alpha").value).toFixed(2));
  by("freeze").setAttribute("aria-pressed", String(setting("frozen") === true));
  if (isFree(by("class"))) {
    const name = status.settings.class;
    by("class").value = name === "top1" || !name ? "" : blanks(name);
    showClassNames();
  }
}

function showSelect(select, name) {
  const choices = (status.choices?.[name] ?? []).map((choice) => {
    const value = choice.name ?? choice;
    return { value, text: choice.is_slow ? `${value} (slow)` : value };
  });
  const value = setting(name) ?? "";
  // What is set is shown even if it cannot be chosen.
  if (!choices.some((choice) => choice.value === value)) choices.unshift({ value, text: value || "–" });
  replaceOptions(select, choices);
  if (select.value !== value) select.value = value;
}

function showClassNames() {
  const labels = (status.top ?? []).map((entry) => blanks(entry.label));
  replaceOptions(by("class-names"), labels.map((label) => ({ value: label, text: label })));
}

function replaceOptions(parent, choices) {
  const key = JSON.stringify(choices);
  if (parent.dataset.key === key) return;
  parent.dataset.key = key;
  parent.replaceChildren(...choices.map(({ value, text }) => new Option(text, value)));
}

const queue = [];
let isSending = false;

async function send(wish) {
  for (const [name, value] of Object.entries(wish)) {
    if (name !== "class") wished.set(name, { value, until: performance.now() + WISH_HOLDS_MS });
  }
  // Of a slider that is being dragged only the last place counts.
  if ("alpha" in wish && queue.length > 0 && "alpha" in queue.at(-1)) queue.pop();
  queue.push(wish);
  showControls();
  if (isSending) return;
  isSending = true;
  while (queue.length > 0) await sendOne(queue.shift());
  isSending = false;
}

async function sendOne(wish) {
  try {
    const answer = await fetch("/control", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(wish),
      signal: AbortSignal.timeout(FETCH_PATIENCE_MS),
    });
    if (answer.ok) return;
    const text = (await answer.text()).trim();
    showError(answer.status === 400 ? JSON.parse(text).error : text);
  } catch {
    showError("the program does not answer");
  }
  for (const name of Object.keys(wish)) wished.delete(name);
  showControls();
}

let errorTimer = 0;

function showError(text) {
  by("error").hidden = false;
  by("error").textContent = text;
  clearTimeout(errorTimer);
  errorTimer = setTimeout(() => {
    by("error").hidden = true;
    by("error").textContent = "";
  }, ERROR_SHOWN_MS);
}

for (const name of SELECTS) {
  const select = by(name);
  let isByPointer = false;
  select.addEventListener("pointerdown", () => (isByPointer = true));
  select.addEventListener("keydown", () => (isByPointer = false));
  select.addEventListener("change", () => {
    send({ [name]: select.value });
    // So that the keys below work again; somebody who works by keyboard keeps the focus.
    if (isByPointer) select.blur();
  });
  select.addEventListener("blur", showControls);
}

by("class").addEventListener("change", () => {
  const name = by("class").value.trim();
  send({ class: name === "" ? "top1" : name.replaceAll(" ", "_") });
});
by("class").addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === "Escape") by("class").blur();
});
by("class").addEventListener("blur", showControls);
by("class-top").addEventListener("click", () => send({ class: "top1" }));
by("class-next").addEventListener("click", () => send({ class: "next" }));
by("alpha").addEventListener("input", () => send({ alpha: Number(by("alpha").value) }));
by("alpha").addEventListener("pointerup", () => by("alpha").blur());
by("alpha").addEventListener("blur", showControls);
by("freeze").addEventListener("click", toggleFreeze);
by("show-help").addEventListener("click", () => by("help").showModal());
by("close-help").addEventListener("click", () => by("help").close());

function toggleFreeze() {
  if (status?.settings) send({ frozen: setting("frozen") !== true });
}

// The choice after the present one.
function sendNext(name) {
  if (!status?.settings) return;
  const choices = (status.choices?.[name] ?? []).map((choice) => (typeof choice === "string" ? { name: choice } : choice));
  const present = choices.findIndex((choice) => choice.name === setting(name));
  const after = [...choices.slice(present + 1), ...choices.slice(0, Math.max(present, 0))];
  const next = after.find((choice) => !choice.is_slow);
  if (next) send({ [name]: next.name });
}

const KEYS = {
  c: () => send({ class: "next" }),
  m: () => sendNext("method"),
  l: () => sendNext("layout"),
  p: () => sendNext("colormap"),
  s: () => by("snapshot").click(),
  " ": toggleFreeze,
  "?": () => by("help").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || by("help").open) return;
  const isTyping = event.target.matches?.("input:not([type=range]), select, textarea");
  // On a button the space key already means something.
  const isPressing = event.key === " " && event.target.matches?.("button, a");
  const action = KEYS[event.key];
  if (!action || isTyping || isPressing) return;
  event.preventDefault();
  action();
});

// --- The picture -------------------------------------------------------------------------------

const stream = {
  beganMs: -Infinity,
  waitMs: STREAM_RETRY_MS.first,
  timer: 0,
  // How the server tells this stream from others.
  name: 0,

  start() {
    clearTimeout(this.timer);
    this.timer = 0;
    if (document.hidden) return;
    this.beganMs = performance.now();
    // Another address each time: browsers would otherwise go on with the stream that broke.
    [this.name] = crypto.getRandomValues(new Uint32Array(1));
    by("picture").src = `/stream.mjpg?viewer=${this.name}`;
  },

  // Nobody looks: the place is left to others.
  stop() {
    clearTimeout(this.timer);
    this.timer = 0;
    by("picture").removeAttribute("src");
  },

  retry() {
    if (this.timer !== 0 || document.hidden) return;
    this.timer = setTimeout(() => this.start(), this.waitMs);
    this.waitMs = Math.min(2 * this.waitMs, STREAM_RETRY_MS.most);
  },

  // Whether the server still sends to us; browsers do not say when a stream ends.
  check(isWatching) {
    if (isWatching) {
      this.waitMs = STREAM_RETRY_MS.first;
    } else if (performance.now() - this.beganMs > STREAM_STARTS_MS) {
      this.retry();
    }
  },

  isLost() {
    this.waitMs = STREAM_RETRY_MS.first;
  },

  // Pictures that do not come keep the reason to themselves; asked for as text, it comes.
  async explainFailure() {
    try {
      const ask = (method) => fetch("/stream.mjpg", { method, signal: AbortSignal.timeout(FETCH_PATIENCE_MS) });
      // Asked for in earnest only if it is refused: a stream would take a place.
      if ((await ask("HEAD")).ok) return;
      const answer = await ask("GET");
      if (answer.ok) await answer.body.cancel();
      else setText("no-picture", (await answer.text()).trim());
    } catch {
      // The state says already that the connection is lost.
    }
  },
};

function showPicture(isThere) {
  by("picture").hidden = !isThere;
  by("no-picture").hidden = isThere;
}

by("picture").addEventListener("load", () => showPicture(true));
by("picture").addEventListener("error", () => {
  showPicture(false);
  setText("no-picture", "the picture does not come, trying again");
  stream.explainFailure();
  stream.retry();
});
document.addEventListener("visibilitychange", () => (document.hidden ? stream.stop() : stream.start()));

stream.start();
poll();
