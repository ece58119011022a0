"""Photos of users: FastAPI takes the file, darkroom makes the picture.

    DARKROOM_URL=http://127.0.0.1:8080 DARKROOM_TOKEN=... uvicorn main:app
"""

import os
import uuid

import httpx
from fastapi import FastAPI, Header, HTTPException, UploadFile

app = FastAPI()
token = os.environ.get("DARKROOM_TOKEN")
darkroom = httpx.AsyncClient(
    base_url=os.environ.get("DARKROOM_URL", "http://127.0.0.1:8080"),
    headers={"Authorization": f"Bearer {token}"} if token else {},
    timeout=40,
)


def checked(response: httpx.Response) -> dict:
    """What darkroom answered; its refusals go on to the caller, who can show `hint`."""
    if response.is_error:
        raise HTTPException(response.status_code, response.json())
    return response.json()


@app.post("/users/{user_id}/photos", status_code=202)
async def upload(user_id: str, photo: UploadFile, idempotency_key: str | None = Header(None)) -> dict:
    """The key of the picture is known at once; a repetition with the same `Idempotency-Key` is the same upload."""
    response = await darkroom.post(
        "/api/uploads",
        params={"user_id": user_id},
        headers={"Idempotency-Key": idempotency_key or str(uuid.uuid4()), "Content-Type": photo.content_type or ""},
        content=await photo.read(),
    )
    return checked(response)


@app.get("/photos/{job_id}")
async def receipt(job_id: str) -> dict:
    """Waits up to 30 s for the receipt; `final` says whether it will change again."""
    return checked(await darkroom.get(f"/api/jobs/{job_id}", params={"wait": "30s"}))
