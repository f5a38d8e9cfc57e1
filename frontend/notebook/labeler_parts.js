// What stands around the labeler's picture: buttons, the fields of the chosen turn, the list of keys.

import { TIMELINE_KEYS, keyList } from "./keys.js";

const KEYS = [
  ["drag", "mark speech; on an edge, move it; on speech, move all of it, or into another row"],
  ["Enter", "make what is selected speech"],
  ["↑ ↓", "go to the speech before, after"],
  ["[ ]", "move the start, the end of the chosen speech to the cursor"],
  ["1 … 9", "give the chosen speech to the speaker of that row"],
  ["Delete", "remove the chosen speech"],
  ["Ctrl Z, Ctrl Y", "undo, redo"],
  ["Ctrl S", "save"],
  ...TIMELINE_KEYS,
];

export const TOOLS = `
<button data-do="add" title="make what is selected speech (Enter)">Mark</button>
<span class="group" role="group" aria-label="history">
  <button data-do="undo" title="undo (Ctrl Z)">Undo</button>
  <button data-do="redo" title="redo (Ctrl Y)">Redo</button>
</span>
<button data-do="find" title="replace all by what voice activity detection finds">From VAD</button>
<button data-do="transcribe" title="write what is said where a text is missing; again: cancel"
  >Transcribe</button>
<span class="group">
  <input data-is="path" aria-label="file of labels" size="24" spellcheck="false"
    title="its name ends in .rttm, .txt (Audacity) or .json">
  <button data-do="save" title="save to this file (Ctrl S)">Save</button>
  <button data-do="load" title="replace all by what is in this file">Open</button>
</span>`;

export const FIELDS = `
<div class="row turn">
  <button data-do="before" title="the speech before (↑)" aria-label="the speech before">◀</button>
  <span data-is="which"></span>
  <button data-do="after" title="the speech after (↓)" aria-label="the speech after">▶</button>
  <label>from <input data-is="0" type="number" min="0" step="0.01"> s</label>
  <label>to <input data-is="1" type="number" min="0" step="0.01"> s</label>
  <label>speaker <input data-is="2" size="9" spellcheck="false"></label>
  <label title="another name is for all that this speaker says">
    <input data-is="all" type="checkbox">all of theirs</label>
  <label class="wide">text <input data-is="3"></label>
  <button data-do="remove" title="remove this speech (Delete)">Delete</button>
</div>
<div class="row"><span data-is="status" role="status"></span><span data-is="count"></span></div>
${keyList(KEYS)}`;
