// Send a file as a job: choose or drop it, look at its first rows, send it, and go to the job.
// The text of files comes into the page as text nodes alone.
const TYPES = {
  csv: "text/csv",
  ndjson: "application/x-ndjson",
  jsonl: "application/x-ndjson",
  parquet: "application/vnd.apache.parquet",
};
const LOOKED_AT_BYTES = 65_536;
const SHOWN_ROWS = 5;
const SHOWN_COLUMNS = 40;
const SHOWN_CHARACTERS = 80;
const SIZES = [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]];

/** The media type and the encoding of a file, by the endings of its name; null for another one. */
function formatOf(name) {
  const endings = name.toLowerCase().split(".");
  const isPacked = endings.at(-1) === "gz";
  const type = endings.length > (isPacked ? 2 : 1) && TYPES[endings.at(isPacked ? -2 : -1)];
  return type ? { type, isPacked } : null;
}

/** The first rows of CSV (RFC 4180), up to a wrong one. Of a cut text, the last one may be half: it is left out. */
function rowsOf(text, isCut) {
  const rows = [];
  let row = [];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|\r|$)/gy)) {
    if (end === "" && isCut) break;
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === ",") continue;
    if (row.length > 1 || row[0]) rows.push(row);
    row = [];
    if (rows.length > SHOWN_ROWS || end === "") break;
  }
  return rows;
}

function short(text) {
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}

function sizeOf(bytes) {
  const [unit, size] = SIZES.find(([, least]) => bytes >= least) ?? ["bytes", 1];
  return `${(bytes / size).toLocaleString(undefined, { maximumFractionDigits: 1 })} ${unit}`;
}

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function tableOf([names, ...rows]) {
  const table = element("table");
  const head = table.createTHead().insertRow();
  for (const name of names.slice(0, SHOWN_COLUMNS)) head.append(element("th", short(name), { scope: "col" }));
  const body = table.createTBody();
  for (const cells of rows) {
    const row = body.insertRow();
    for (const cell of cells.slice(0, SHOWN_COLUMNS)) row.append(element("td", short(cell)));
  }
  const scrolls = element("div", "", { class: "scrolls", role: "region", "aria-label": "First rows", tabindex: "0" });
  scrolls.append(table);
  return scrolls;
}

/** The parts that show the beginning of a file. */
async function previewOf(file, { type, isPacked }) {
  const shown = [element("p", `${file.name}, ${sizeOf(file.size)}`)];
  if (isPacked || type === TYPES.parquet) return shown;
  const text = await file.slice(0, LOOKED_AT_BYTES).text();
  const isCut = file.size > LOOKED_AT_BYTES;
  if (type === TYPES.csv) {
    const rows = rowsOf(text.replace(/^\uFEFF/, ""), isCut);
    if (rows.length) shown.push(tableOf(rows));
  } else {
    const lines = text.split("\n").slice(0, SHOWN_ROWS).map((line) => short(line));
    shown.push(element("pre", lines.join("\n")));
  }
  return shown;
}

const form = document.querySelector("#upload");
if (form) {
  const input = form.elements.file;
  const drop = form.querySelector(".drop");
  const preview = form.querySelector("[data-preview]");
  const said = form.querySelector("[data-said]");
  const sent = form.querySelector("progress");
  const button = form.querySelector("button:not([type])");
  const stop = form.querySelector("[data-stop]");

  const say = (...parts) => said.replaceChildren(...parts);
  const problemOf = (file) => {
    if (!formatOf(file.name)) return "Choose a file that ends in .csv, .ndjson, .jsonl or .parquet, or one of them with .gz.";
    const most = Number(form.dataset.mostBytes);
    return file.size > most ? `The file has ${sizeOf(file.size)}. The most is ${sizeOf(most)}.` : "";
  };

  const show = async () => {
    const [file] = input.files;
    preview.replaceChildren();
    say(file ? problemOf(file) : "");
    if (!file || problemOf(file)) return;
    try {
      const parts = await previewOf(file, formatOf(file.name));
      if (input.files[0] === file) preview.replaceChildren(...parts);
    } catch {
      say("The browser cannot read this file.");
    }
  };

  const isSending = (yes) => {
    button.disabled = input.disabled = yes;
    stop.hidden = sent.hidden = !yes;
  };

  /** Show the answer to an upload: the job, or the problem with its fields. */
  const ended = (request) => {
    isSending(false);
    let answer = {};
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      // Not from the service: a proxy on the way.
    }
    if (request.status === 202 && answer.address) {
      say("The file has been accepted.");
      window.location.assign(answer.address);
      return;
    }
    const list = element("ul");
    for (const each of answer.errors ?? []) list.append(element("li", each.detail));
    const detail = answer.errors?.length ? "The file was not accepted:" : answer.detail;
    say(element("strong", detail ?? `The answer has the status ${request.status}. Try again.`), list);
  };

  const send = (file) => {
    const { type, isPacked } = formatOf(file.name);
    const query = new URLSearchParams({ kind: form.elements.kind.value });
    for (const name of ["store", "history"]) query.set(name, String(form.elements[name].checked));
    const request = new XMLHttpRequest(); // `fetch` does not tell how much has been sent
    request.open("POST", `${form.getAttribute("action")}?${query}`);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", type);
    if (isPacked) request.setRequestHeader("Content-Encoding", "gzip");
    request.setRequestHeader("X-CSRF-Token", form.dataset.token);
    request.upload.addEventListener("progress", (event) => {
      sent.value = event.loaded / event.total;
      if (event.loaded < event.total) say(`${sizeOf(event.loaded)} of ${sizeOf(event.total)} sent.`);
      else say("The service reads the file.");
    });
    request.addEventListener("load", () => ended(request));
    request.addEventListener("error", () => {
      isSending(false);
      say("The connection broke before the file was accepted. Try again.");
    });
    request.addEventListener("abort", () => {
      isSending(false);
      say("Stopped. The file was not accepted.");
    });
    stop.onclick = () => request.abort();
    sent.value = 0;
    isSending(true);
    say("The file is being sent.");
    request.send(file);
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [file] = input.files;
    if (file && !problemOf(file)) send(file);
  });
  input.addEventListener("change", show);
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    if (input.disabled || !event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    show();
  });
  form.hidden = false;
  document.querySelector("#no-script").hidden = true;
  show(); // a reload keeps the chosen file in some browsers
}
