"""What messages_client.cpp does, with Python's own library."""
import sys
from array import array
from multiprocessing.connection import Client

host, port = sys.argv[1].rsplit(':', 1)
with Client((host, int(port)), authkey=b'secret password') as connection:
    print(connection.recv())
    print(connection.recv_bytes().decode())
    numbers = array('i', [0, 0, 0, 0, 0])
    print(connection.recv_bytes_into(numbers), 'bytes:', *numbers)
