import nestvec
from nestvec import Document, F

nv = nestvec.connect("nestvec.toml")
docs = nv["docs"]
nv.apply("docs")
docs.upsert(
    [
        Document("vacation", "Every employee has 30 days of vacation a year.", {"lang": "en", "year": 2023}),
        Document("travel", "Travel expenses are paid back within two weeks.", {"lang": "en", "year": 2021}),
        Document("kantine", "Die Kantine öffnet um halb zwölf.", {"lang": "de", "year": 2022, "tags": ["food"]}),
    ]
)
