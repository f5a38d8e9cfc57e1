// The menu of a timeline's tracks: on and off, order, height, and what else a track lets choose.

import {
  chosenNext,
  chosenOf,
  isShown,
  moved,
  ordered,
  resized,
  toggled,
} from "./arrangement.js";

/**
 * @typedef {import("./arrangement.js").Arrangement} Arrangement
 * @typedef {import("./tracks.js").Track} Track
 */

const MENU = `<details class="tracks"><summary>Tracks</summary><ul></ul></details>`;

/** @type {[act: string, text: string, label: (name: string) => string][]} */
const BUTTONS = [
  ["up", "▲", (name) => `move ${name} up`],
  ["down", "▼", (name) => `move ${name} down`],
  ["lower", "−", (name) => `make ${name} lower`],
  ["higher", "+", (name) => `make ${name} higher`],
];

/** The menu of a timeline in an element. The widget's model holds the arrangement. */
export class TrackMenu {
  /**
   * @param {HTMLElement} el
   * @param {any} model
   * @param {() => void} onChange
   */
  constructor(el, model, onChange) {
    this.model = model;
    /** @type {Track[]} */
    this.tracks = [];
    el.insertAdjacentHTML("beforeend", MENU);
    this.list = /** @type {HTMLElement} */ (el.querySelector(".tracks ul"));
    this.list.addEventListener("click", (event) => this.onClick(event));
    this.update = () => {
      this.show();
      onChange();
    };
    model.on("change:arrangement", this.update);
  }

  close() {
    this.model.off("change:arrangement", this.update);
  }

  /** @returns {Arrangement} */
  get arrangement() {
    return this.model.get("arrangement");
  }

  /** @param {Track[]} tracks */
  setTracks(tracks) {
    this.tracks = tracks;
    this.show();
  }

  show() {
    const focused = /** @type {?HTMLElement} */ (document.activeElement);
    const key = this.list.contains(focused) ? focused?.dataset.key : "";
    const tracks = ordered(this.arrangement, this.tracks);
    this.list.replaceChildren(...tracks.map((track) => this.row(track)));
    if (!key) return;
    const again = [...this.list.querySelectorAll("[data-key]")].find(
      (each) => /** @type {HTMLElement} */ (each).dataset.key === key,
    );
    /** @type {?HTMLElement} */ (again ?? null)?.focus();
  }

  /** @param {Track} track */
  row(track) {
    const { name, choices = [] } = track;
    const row = document.createElement("li");
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = isShown(this.arrangement, track);
    box.dataset.key = `show ${name}`;
    label.append(box, ` ${name}`);
    row.append(label);
    const add = (/** @type {string} */ act, /** @type {string} */ text, /** @type {string} */ title) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.title = title;
      button.setAttribute("aria-label", title);
      button.dataset.key = `${act} ${name}`;
      row.append(button);
    };
    for (const choice of choices) {
      const { words, unit, values } = choice;
      const text = `${chosenOf(this.arrangement, name, choice)} ${unit}`;
      add(unit, text, `${words}: ${text} of ${values.join(", ")}`);
    }
    for (const [act, text, labelled] of BUTTONS) add(act, text, labelled(name));
    return row;
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const [act, ...words] = (target.dataset.key ?? "").split(" ");
    const track = this.tracks.find(({ name }) => name === words.join(" "));
    if (!track) return;
    const { arrangement, tracks } = this;
    /** @type {Record<string, () => Arrangement>} */
    const acts = {
      show: () => toggled(arrangement, track),
      up: () => moved(arrangement, tracks, track, -1),
      down: () => moved(arrangement, tracks, track, 1),
      lower: () => resized(arrangement, track, -1),
      higher: () => resized(arrangement, track, 1),
    };
    for (const choice of track.choices ?? []) {
      acts[choice.unit] = () => chosenNext(arrangement, track.name, choice);
    }
    this.model.set("arrangement", acts[act]());
    this.model.save_changes();
  }
}
