import assert from "node:assert/strict";
import { test } from "node:test";

import { codeOf } from "../../frontend/why.js";

test("the code opens the tuner at the end of the line, whatever the folder's name", () => {
  assert.equal(
    codeOf({ keptIn: "C:\\kept\\a \"b\"", end_s: 12.345 }),
    "import sttlab as stt\n" +
      'stt.VadTuner(stt.open_session("C:\\\\kept\\\\a \\"b\\""), at_s=12.3)\n',
  );
});
