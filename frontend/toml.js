// Settings as TOML, as sttlab/config.py reads them. No DOM.

/**
 * Write tables of plain values. What is null is left out, as TOML has no null.
 *
 * @param {Record<string, ?Record<string, string | number | boolean | null>>} tables
 */
export function toToml(tables) {
  const parts = Object.entries(tables).map(([name, table]) => {
    const lines = Object.entries(table ?? {})
      .filter(([, value]) => value !== null)
      .map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
    return `[${name}]\n${lines.join("")}`;
  });
  return parts.join("\n");
}
