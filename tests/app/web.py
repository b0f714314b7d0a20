"""The served page as programs see it: its addresses, and the events of its queue asked as a browser asks them."""

import json
import urllib.error
import urllib.request


def get(served, path, data=None, kind="application/json"):
    """Status, body and headers."""
    request = urllib.request.Request(f"{served.local_url.rstrip('/')}{path}", data, {"content-type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def config(served):
    return json.loads(get(served, "/config")[1])


def events(served, name):
    """The events whose handler has a name, as the page knows them."""
    own = (one for one in config(served)["dependencies"] if one["api_name"])
    return [one for one in own if one["api_name"].rstrip("_0123456789") == name]


def join(served, event, data, session):
    """Ask an event of the queue: status and text."""
    body = {"fn_index": event["id"], "data": data, "session_hash": session, "trigger_id": event["targets"][0][0]}
    status, text, _ = get(served, "/gradio_api/queue/join?", json.dumps(body).encode())
    return status, text.decode()


def answer(served, session):
    """What the queue answers last."""
    address = f"{served.local_url}gradio_api/queue/data?session_hash={session}"
    with urllib.request.urlopen(address, timeout=120) as stream:
        for line in stream:
            if line.startswith(b"data:") and b"process_completed" in line:
                return json.loads(line[5:])
    return None


def asked(served, event, data, session="tester"):
    """What an event answers; {"status", "text"} where it is not let into the queue."""
    status, text = join(served, event, data, session)
    return answer(served, session) if status == 200 else {"status": status, "text": text}


def upload(served, data, name="own.png"):
    """Upload a file; where it lies."""
    edge = "xxEDGExx"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    body = head.encode() + data + f"\r\n--{edge}--\r\n".encode()
    status, text, _ = get(served, "/gradio_api/upload", body, f"multipart/form-data; boundary={edge}")
    return status, json.loads(text)[0] if status == 200 else text.decode()


def file_data(path):
    """A file as Gradio's page names it."""
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}
