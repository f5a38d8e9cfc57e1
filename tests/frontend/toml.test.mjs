import assert from "node:assert/strict";
import { test } from "node:test";

import { toToml } from "../../frontend/toml.js";

test("settings are written as TOML tables, and null is left out", () => {
  const vad = { detector: "energy", threshold_dbfs: null, margin_db: 8.5 };
  const transcribe = { model: 'C:\\my "own".pt', words: false };
  assert.equal(
    toToml({ version: 2, vad, transcribe }),
    'version = 2\n\n[vad]\ndetector = "energy"\nmargin_db = 8.5\n\n' +
      '[transcribe]\nmodel = "C:\\\\my \\"own\\".pt"\nwords = false\n',
  );
});

test("an engine that was made by hand has no settings", () => {
  assert.equal(toToml({ version: 2, vad: {}, transcribe: null }), "version = 2\n\n[vad]\n\n[transcribe]\n");
});
