// The dock at the end of the page: the status, its problem, and the button of the microphone.

import { byId, setText } from "./dom.js";
import { words } from "./status.js";

const BUTTON = { on: "Stop my microphone", ending: "Finishing" };

/** @param {import("./status.js").Status} status */
export function showStatus(status) {
  const { tone, text, problem } = words(status);
  setText(byId("state"), text);
  byId("state").dataset.tone = tone;
  byId("problem").hidden = !problem;
  byId("problem").dataset.tone = tone;
  setText(byId("problem").querySelector("strong"), problem?.title ?? "");
  setText(byId("problem").querySelector(".advice"), problem?.advice ?? "");
  byId("retry").hidden = !problem?.retry;
  setText(byId("retry"), problem?.retry === "play" ? "Play again" : "Try now");
  byId("dismiss").hidden = problem?.retry !== "microphone";
  const { label } = status.microphone;
  const source = label ? `${label} in this browser` : status.source;
  setText(byId("about"), [source, status.model].filter(Boolean).join(" · "));
  byId("about").title = byId("about").textContent;
  byId("keeping").hidden = !(status.keeping && status.link.state === "open");
  showButton(status.microphone.state);
}

/** @param {string} state of this browser's microphone */
function showButton(state) {
  const button = byId("mine");
  const on = state === "on";
  button.setAttribute("aria-pressed", String(on));
  button.disabled = state === "asking" || state === "ending";
  button.querySelector("use").setAttribute("href", on ? "#i-stop" : "#i-mic");
  const label = /** @type {Record<string, string>} */ (BUTTON)[state] ?? "Use my microphone";
  setText(button.querySelector("span"), label);
}

/** Keep the heights of header and footer in CSS: they must not cover the focus or the settings. */
export function keepEdgesClear() {
  for (const [selector, name] of [["header", "--top"], ["footer", "--bottom"]]) {
    const element = /** @type {HTMLElement} */ (document.querySelector(selector));
    new ResizeObserver(() => {
      document.documentElement.style.setProperty(name, `${element.offsetHeight}px`);
    }).observe(element);
  }
}
