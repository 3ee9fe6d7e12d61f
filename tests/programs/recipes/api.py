from fastapi import FastAPI

from parallelize import processed

app = FastAPI()


@processed(timeout=10, max_pending=100, kill_on_cancel=True)
def render(year: int) -> str:
    return f"report of {year}"


@app.get("/reports/{year}")
async def report(year: int) -> str:
    return await render(year)
