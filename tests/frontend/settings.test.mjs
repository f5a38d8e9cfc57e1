import assert from "node:assert/strict";
import { test } from "node:test";

import { refusedName } from "../../frontend/settings.js";

test("a refusal is about the setting it names, or the only one that was asked for", () => {
  assert.equal(refusedName("margin_db must be between 1 and 60 dB", ["probability", "margin_db"]), "margin_db");
  assert.equal(refusedName("tiny.en knows only English", ["language"]), "language");
  assert.equal(refusedName("this server is locked", ["margin_db", "probability"]), null);
  assert.equal(refusedName("…", []), null);
});
