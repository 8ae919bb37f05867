"""FastAPI with ONNX Runtime: `uvicorn signs_app:app --workers 2`. `/loop` calls the reader once for each sign."""

from fastapi import FastAPI, Request
from signs_pipeline import Signs

app = FastAPI()
signs = Signs()


@app.post("/predict")
async def predict(request: Request) -> dict:
    return signs.answer(await request.body(), together=True)


@app.post("/loop")
async def loop(request: Request) -> dict:
    return signs.answer(await request.body(), together=False)
