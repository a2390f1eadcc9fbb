"""What messages_server.cpp does, with Python's own library."""
from array import array
from multiprocessing.connection import Listener

with Listener(('localhost', 0), authkey=b'secret password') as listener:
    print('%s:%d' % listener.address, flush=True)
    with listener.accept() as connection:
        connection.send([2.25, None, 'junk'])
        connection.send_bytes(b'hello')
        connection.send_bytes(array('i', [42, 1729]))
