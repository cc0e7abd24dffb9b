"""Questions over all cars and stages of an archive, answered offline by DuckDB.

python ask_the_archive.py ARCHIVE DBC
"""

import sys

from stagelog.dbc import load_database
from stagelog.lake import decode_archive
from stagelog.query import Archive

for entry, n_messages, problem in decode_archive(sys.argv[1], load_database(sys.argv[2])):
    print(f"{entry.path.name}: {problem or f'{n_messages} messages decoded'}")

HOTTEST = """
select car, stage, max(DiffOilTempF) as front_degC, max(DiffOilTempR) as rear_degC
from DRV_Temp group by car, stage order by car, stage
"""
AT_SPEED = """
select e.car, count(*) as n, avg(e.EngSpd) as rpm
from ENG_1 e asof join WHL_Speed w
  on e.session = w.session and e.t_us >= w.t_us
where w.WhlSpdRL > 80 group by e.car order by e.car
"""
with Archive(sys.argv[1]) as archive:
    print(archive.sql(HOTTEST).df().to_string(index=False))
    for car, n, rpm in archive.rows(AT_SPEED)[1]:
        print(f"{car}: {rpm:.0f} rpm on average above 80 km/h ({n:,} values)")
