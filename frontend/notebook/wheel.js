// What a turn of the wheel does on a timeline or on its overview: it zooms, or moves along.

/**
 * @param {import("./timeline.js").Timeline} timeline
 * @param {WheelEvent} event
 * @param {HTMLCanvasElement} target
 */
export function turnWheel(timeline, event, target) {
  const { viewport } = timeline;
  const { begin, duration, span } = viewport;
  const along = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
  const pinching = event.ctrlKey || event.metaKey; // a touchpad's pinch comes as Ctrl
  const turned = (along && event.deltaX) || event.deltaY;
  const px = turned * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1);
  if (event.altKey) {
    event.preventDefault();
    timeline.magnify(1.0025 ** -px);
    return;
  }
  const hasEffect = !along && (turned < 0 || span < duration - begin);
  if (!along && !pinching && !timeline.wheel.isHere(event.timeStamp, hasEffect)) return;
  event.preventDefault();
  if (along) {
    timeline.pan(timeline.seconds(px));
    return;
  }
  const onMap = begin + (event.offsetX / target.clientWidth) * (duration - begin);
  const around = target === timeline.map ? onMap : timeline.timeAt(event.offsetX);
  const factor = (pinching ? 1.01 : 1.0025) ** px;
  viewport.zoom(factor, timeline.isLive ? viewport.to : viewport.clamp(around));
  timeline.draw();
}
