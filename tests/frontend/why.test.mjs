import assert from "node:assert/strict";
import { test } from "node:test";

import { codeOf, reasonOf } from "../../frontend/why.js";

test("the code opens the tuner at the end of the line, whatever the folder's name", () => {
  assert.equal(
    codeOf({ keptIn: "C:\\kept\\a \"b\"", end_s: 12.345 }),
    "import sttlab as stt\n" +
      'stt.VadTuner(stt.open_session("C:\\\\kept\\\\a \\"b\\""), at_s=12.34)\n',
  );
});

test("the code opens the tuner before the next line, which may begin where this one ends", () => {
  for (const end_s of [11.68, 11.6849, 11.6851]) {
    const at_s = Number(/at_s=(.*)\)/.exec(codeOf({ keptIn: "kept", end_s }))[1]);
    assert.ok(at_s < end_s && at_s > end_s - 0.02, `${at_s} of ${end_s}`);
  }
});

test("a line says what ended it, where that is known", () => {
  const cut = (reason) => reasonOf({ cut: { reason, pause_s: 0.402 } });
  assert.equal(cut("silence"), "Nobody spoke for 0.40 s. A longer silence timeout waits longer.");
  assert.match(cut("longest"), /longest utterance/);
  assert.match(cut("interrupted"), /interrupted/);
  assert.match(cut("end"), /audio ended/);
  assert.equal(reasonOf({}), "");
});
