"""FastAPI with ONNX Runtime: `uvicorn fastapi_app:app --workers 2`."""

from fastapi import FastAPI, Request
from pipeline import Road

app = FastAPI()
road = Road()


@app.post("/predict")
async def predict(request: Request) -> dict:
    photo = road.decode(await request.body())
    return road.encode(road.run(photo[None])[0])
