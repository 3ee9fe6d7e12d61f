folder = os.environ["DIR"]
with open(folder + "/elsewhere.py", "w") as file:
    file.write("def f(): return __file__\n")
sys.path.insert(0, folder)
os.chdir(folder)
with executor(1) as ex:
    import elsewhere

    print(outcome(ex.submit(elsewhere.f)) == folder + "/elsewhere.py")
    print(outcome(ex.submit(os.getcwd)) == folder)
