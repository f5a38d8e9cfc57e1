import assert from "node:assert/strict";
import { test } from "node:test";

import { readableEstimate } from "../../frontend/player.js";

test("an estimate is as rough as it is uncertain, and left out for a moment", () => {
  assert.equal(readableEstimate(null), "");
  assert.equal(readableEstimate(2.4), "");
  assert.equal(readableEstimate(38.2), ", about 40 s left");
  assert.equal(readableEstimate(89), ", about 2 min left");
  assert.equal(readableEstimate(600), ", about 10 min left");
});
