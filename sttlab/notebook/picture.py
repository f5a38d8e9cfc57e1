"""The style of what widgets show as HTML, and the legend of their pictures."""

from __future__ import annotations

from sttlab.notebook.look import FLOOR, FOUND, LEFT, LEVEL, LEVEL_NAME, ONSET, TRUTH, WIDTH

WIDEST = 1200  # width in px to which a page may stretch a picture

SIGNS = {
    "level": (f"border-top:3px solid {LEVEL}", LEVEL_NAME),
    "onset": (f"border-top:2px solid {ONSET}", "speech begins above"),
    "offset": (f"border-top:2px dashed {ONSET}", "and ends below"),
    "floor": (f"border-top:2px dotted {FLOOR}", "noise floor"),
    "utterance": (f"height:.8em;background:{FOUND}", "utterance"),
    "speech": (f"height:.8em;background:{FOUND}", "speech"),
    "pause": (f"height:.8em;background:{FLOOR}", "silence, may go on"),
    "labels": (f"border-top:5px solid {TRUTH}", "speech, as labelled"),
}
STYLE = f"""<style>
.sttlab-legend {{ padding-left: {100 * LEFT / WIDTH:.1f}%; max-width: {WIDEST}px; font-size: 85%;
  line-height: 1.5; display: flex; flex-wrap: wrap; gap: 0 1.6em }}
.sttlab-legend i {{ display: inline-block; width: 1.6em; margin-right: .5em;
  vertical-align: middle }}
.sttlab-table {{ border-collapse: collapse; line-height: 1.5; font-variant-numeric: tabular-nums }}
.sttlab-table th, .sttlab-table td {{ padding: 1px 1.2em 1px 0; text-align: right;
  vertical-align: top; white-space: nowrap }}
.sttlab-table th {{ font-weight: 600 }}
.sttlab-table .sttlab-text {{ text-align: left; white-space: normal }}
.sttlab-nowrap {{ white-space: nowrap }}
.sttlab-texts {{ width: 100%; max-width: {WIDEST}px }}
.sttlab-texts .sttlab-text {{ width: 100% }}
@media (max-width: 700px) {{
  .sttlab-texts th, .sttlab-texts td {{ padding-right: .6em }}
  .sttlab-texts tr > :nth-child(5) {{ display: none }}
  .sttlab-scores tbody {{ display: flex }}
  .sttlab-scores tr {{ display: grid; grid-auto-rows: 1.7em; background: none }}
  .sttlab-scores tr > * {{ white-space: nowrap }}
  .sttlab-advice {{ white-space: normal }}
}}
.sttlab-delays {{ font-size: 85%; line-height: 1.5 }}
.sttlab-delays > span {{ margin-right: 1em }}
.sttlab-bar {{ display: flex; align-items: center; width: clamp(56px, 14vw, 150px);
  height: 1.5em; line-height: 1 }}
.sttlab-bar > span {{ display: flex; flex: 1; height: .8em }}
.sttlab-sweeper .widget-dropdown > select {{ appearance: auto; background-image: none }}
.sttlab-old {{ opacity: .45 }}
.sttlab-unseen {{ position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%) }}
</style>"""


def legend(*names: str) -> str:
    """Write the legend of a picture as HTML, with entries by their names in SIGNS."""
    signs = [f'<span><i style="{SIGNS[name][0]}"></i>{SIGNS[name][1]}</span>' for name in names]
    return f'<div class="sttlab-legend">{"".join(signs)}</div>'
