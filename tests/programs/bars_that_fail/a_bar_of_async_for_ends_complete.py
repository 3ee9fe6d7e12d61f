import asyncio


async def main():
    global held
    held = thread_map(same, range(3000), progress=True, chunksize=100)
    print(sum([each async for each in held]))


asyncio.run(main())
os.write(2, b"|end of the program\n")
