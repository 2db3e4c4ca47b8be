// What every page of the console loads: htmx for the live parts, and times in the viewer's zone.
// Pages work without it.
import "htmx.org/dist/htmx.esm.min.js";

const DAY_MS = 86_400_000;
const AGO = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/** The distance of a time in words, in the largest unit of which there is at least one. */
function distance(ms) {
  const seconds = Math.round(ms / 1000);
  for (const [unit, size] of [["day", 86_400], ["hour", 3_600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return AGO.format(Math.trunc(seconds / size), unit);
  }
  return AGO.format(seconds, "second");
}

/** Write the times below `root` in the viewer's zone. UTC stays as the title. */
export function localise(root) {
  for (const each of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(each.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    each.title = each.dateTime.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
    const left = moment.getTime() - Date.now();
    if (each.dataset.as === "date") each.textContent = DATE.format(moment);
    else if (each.dataset.as === "ago" && Math.abs(left) < 7 * DAY_MS) each.textContent = distance(left);
    else each.textContent = FULL.format(moment);
  }
}

/** Forms that ask before they act: their question is in `data-ask`. */
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.ask ?? event.target.dataset.ask;
  if (question && !window.confirm(question)) event.preventDefault();
});

/** A browser may show a page of before the log-out from its memory. Such a page asks the service again. */
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

/** A part that cannot be loaded again stays as it is, and a notice says so until it can. */
window.htmx.config.noSwap = [204, 304, "4xx", "5xx"];
function noteRefresh(failed) {
  const notice = document.querySelector("#not-refreshed");
  if (failed && notice.hidden) notice.querySelector("span").textContent = FULL.format(new Date());
  notice.hidden = !failed;
}
document.addEventListener("htmx:after:request", (event) => noteRefresh(event.detail.ctx.response.raw.status >= 400));
document.addEventListener("htmx:error", () => noteRefresh(true));

/** Fields that send their form at each change. Without a script its button does that. */
document.addEventListener("change", (event) => {
  if (event.target.matches?.("[data-sends]")) event.target.form.requestSubmit();
});

/** `/` goes to the search of the page, as in many consoles. */
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.querySelector("input[type=search]");
  if (search) {
    event.preventDefault();
    search.focus();
  }
});

/** Fields of a time are in UTC for the service, and in the viewer's zone on the page. */
for (const field of document.querySelectorAll("input[data-utc]")) {
  const moment = new Date(`${field.value}Z`);
  if (!Number.isNaN(moment.getTime())) {
    field.value = new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  }
  for (const zone of field.labels[0]?.querySelectorAll("[data-zone]") ?? []) zone.textContent = "your time";
  field.form.addEventListener("formdata", ({ formData }) => {
    const chosen = new Date(field.value);
    if (!Number.isNaN(chosen.getTime())) formData.set(field.name, chosen.toISOString());
  });
}

/** Lists of boxes close when another part of the page is used. */
function closeLists(event) {
  for (const list of document.querySelectorAll("details.dropdown[open]")) {
    if (!list.contains(event.target) || event.key === "Escape") list.open = false;
  }
}
document.addEventListener("click", closeLists);
document.addEventListener("focusin", closeLists);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  document.activeElement?.closest("details.dropdown[open]")?.querySelector("summary").focus();
  closeLists(event);
});

document.addEventListener("htmx:after:swap", () => localise(document));
localise(document);
// "3 minutes ago" must not stand still on a page that is open for a day.
setInterval(() => localise(document), 30_000);
