@KIND
def note(number):
    with open(PATH, "a") as file:
        file.write(f"{number}\n")


results = note.map(waiting(20))
