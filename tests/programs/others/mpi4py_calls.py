from mpi4py.futures import MPIPoolExecutor
from test_others import all_three_ways

if __name__ == "__main__":
    with MPIPoolExecutor() as theirs:
        all_three_ways(theirs)
    print("done")
