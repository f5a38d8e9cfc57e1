import { connect, socketUrl } from "./connection.js";

const status = document.getElementById("status");
const empty = document.getElementById("empty");
const transcripts = document.getElementById("transcripts");

function showState(state, detail) {
  if (state === "connected") {
    say("connected", "Connected, listening");
  } else if (state === "connecting") {
    say("connecting", "Connecting…");
  } else {
    const why = detail.reason ? `${detail.reason}. Trying again` : "No connection; trying again";
    say(detail.reason ? "failed" : "connecting", `${why} in ${detail.seconds} s`);
  }
}

function say(state, text) {
  status.dataset.state = state;
  status.textContent = text;
}

function showMessage(message) {
  if (message.event !== "transcript") return;
  const atEnd = window.innerHeight + window.scrollY >= document.body.scrollHeight - 40;
  const now = new Date();
  const time = document.createElement("time");
  time.dateTime = now.toISOString();
  time.textContent = now.toLocaleTimeString();
  const text = document.createElement("p");
  text.textContent = message.text;
  const item = document.createElement("li");
  item.append(time, text);
  transcripts.append(item);
  empty.hidden = true;
  if (atEnd) item.scrollIntoView({ block: "end" });
}

connect(socketUrl(document.baseURI), showMessage, showState);
