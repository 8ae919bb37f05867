"""mosec: decoding in one worker process, both networks in another, batches of up to 16."""

import numpy as np
from mosec import Server, Worker
from pipeline import Road


class Decode(Worker):
    def __init__(self) -> None:
        self.road = Road()

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes) -> np.ndarray:
        return self.road.decode(data)


class Predict(Worker):
    def __init__(self) -> None:
        self.road = Road()

    def forward(self, data: list[np.ndarray]) -> list[dict]:
        return [self.road.encode(row) for row in self.road.run(np.stack(data))]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Decode, num=2)
    server.append_worker(Predict, num=1, max_batch_size=16, max_wait_time=2)
    server.run()
