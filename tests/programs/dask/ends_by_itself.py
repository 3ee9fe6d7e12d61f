from parallelize import processed


@processed
def double(x):
    return 2 * x


def main():
    print(double(4).result(), sum(double.map(range(100))))


main()
