import os

import work
from flask import Flask, jsonify

from parallelize import processed

app = Flask(__name__)


@processed
def square(n):
    return n * n


@app.get("/total")
def total():
    prices = sum(work.price.map(range(10)))
    return jsonify(
        total=prices + square(4).result() + work.double(4).result(),
        server=os.getpid(),
        worker=work.pid().result(),
    )


@app.get("/held")
def held():
    """Wait in a worker until the test has made a file."""
    return jsonify(server=os.getpid(), worker=work.wait_for_file().result())
