"""Photos of users: FastAPI takes the file, darkroom makes the picture.

    DARKROOM_URL=http://127.0.0.1:8080 DARKROOM_TOKEN=... uvicorn main:app
"""

import os
import uuid
from typing import Annotated

import httpx
from fastapi import FastAPI, Header, HTTPException, Path, UploadFile

app = FastAPI()
token = os.environ.get("DARKROOM_TOKEN")
darkroom = httpx.AsyncClient(
    base_url=os.environ.get("DARKROOM_URL", "http://127.0.0.1:8080"),
    headers={"Authorization": f"Bearer {token}"} if token else {},
    timeout=40,
)


JobId = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,64}$")]


async def ask(method: str, path: str, **more) -> dict:
    """What darkroom answered; its refusals go on to the caller, who can show `hint`."""
    try:
        response = await darkroom.request(method, path, **more)
    except httpx.TransportError as error:  # the upload may have been taken: repeat it with the same Idempotency-Key
        raise HTTPException(503, "darkroom does not answer", {"Retry-After": "5"}) from error
    if response.is_error:
        known = "json" in response.headers.get("Content-Type", "")
        wait = {"Retry-After": response.headers["Retry-After"]} if "Retry-After" in response.headers else None
        raise HTTPException(response.status_code, response.json() if known else response.text, wait)
    return response.json()


@app.post("/users/{user_id}/photos", status_code=202)
async def upload(user_id: str, photo: UploadFile, idempotency_key: str | None = Header(None)) -> dict:
    """The key of the picture is known at once; a repetition with the same `Idempotency-Key` is the same upload."""
    return await ask(
        "POST",
        "/api/uploads",
        params={"user_id": user_id},
        headers={"Idempotency-Key": idempotency_key or str(uuid.uuid4()), "Content-Type": photo.content_type or ""},
        content=await photo.read(),
    )


@app.get("/photos/{job_id}")
async def receipt(job_id: JobId) -> dict:
    """Waits up to 30 s for the receipt; `final` says whether it will change again."""
    return await ask("GET", f"/api/jobs/{job_id}", params={"wait": "30s"})
