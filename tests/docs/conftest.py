from tests.train.sets import one_cpu_thread as one_cpu_thread
