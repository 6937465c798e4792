"""The clinical vocabulary of the synthetic release: real codes, the words clinicians use for them.

The first spelling of each entry is its usual name; notes and answers may use the others. Ranges are
for simulation, not for care. In the tables, indented lines continue the row above them, line ends
and " | " separate fields, ", " separates spellings, and "-" means none.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

Spellings = tuple[str, ...]


class Analyte(NamedTuple):
    """A laboratory test; simulated values vary around `mean` within [low, high]."""

    spellings: Spellings
    loinc: str
    title: str
    unit: str
    decimals: int
    mean: float
    sd: float
    low: float
    high: float
    in_notes: bool  # whether notes repeat it, or only coded results contain it


class OtherUnit(NamedTuple):
    """How another laboratory reports an analyte: the usual value times `factor`."""

    loinc: str
    title: str
    unit: str
    factor: float
    decimals: int


class Drug(NamedTuple):
    """A drug, named by its ingredient; doses are in mg unless `unit` says otherwise."""

    name: str
    brand: str
    rxnorm: str
    drug_class: str
    doses: tuple[float, ...]
    frequency: str
    unit: str = "mg"

    @property
    def names(self) -> Spellings:
        """The name and the brand."""
        return self.name, self.brand


class DrugClass(NamedTuple):
    """A drug class and the reasons for stopping one of its drugs."""

    spellings: Spellings
    stop_reasons: tuple[Spellings, ...]


class Condition(NamedTuple):
    """A chronic condition: its drug classes, laboratory tests and plans."""

    spellings: Spellings
    icd10: str
    snomed: str
    title: str
    drug_classes: tuple[str, ...]
    department: str
    analytes: tuple[str, ...]
    plans: tuple[Spellings, ...]  # each plan: the words of the note, then accepted answers


class Acute(NamedTuple):
    """An illness that brings a patient to the emergency department or the hospital."""

    spellings: Spellings
    icd10: str
    title: str
    symptom: str
    return_precaution: str
    pending: tuple[str, ...]


class Surgery(NamedTuple):
    """An operation and its possible complications."""

    spellings: Spellings
    cpt: str
    title: str
    gender: str  # of eligible patients, "-" for any
    complications: tuple[Spellings, ...]


class Study(NamedTuple):
    """An imaging study or endoscopy and its possible findings."""

    spellings: Spellings
    cpt: str
    title: str
    findings: tuple[Spellings, ...] = ()


def _fields(text: str) -> list[str]:
    return re.split(r"\s*[|\n]\s*", text.strip())


def rows(table: str) -> list[list[str]]:
    """Return the fields of each row of a table."""
    return [_fields(row) for row in re.split(r"\n(?! )", table.strip("\n"))]


def spellings(field: str) -> Spellings:
    """Return the spellings in a comma-separated list; "-" is an empty list."""
    return () if field == "-" else tuple(field.split(", "))


def _lists(parts: list[str]) -> tuple[Spellings, ...]:
    return tuple(map(spellings, parts))


def spelling_lists(text: str) -> tuple[Spellings, ...]:
    """Return the spellings of each field."""
    return _lists(_fields(text))


def _numbers(field: str) -> tuple[float, ...]:
    return tuple(float(number) if "." in number else int(number) for number in field.split())


def _by_name(entries: Iterable) -> dict:
    return {entry.spellings[0]: entry for entry in entries}


# The fifth field has decimals, mean, standard deviation, lowest and highest value.
ANALYTES: dict[str, Analyte] = _by_name(
    Analyte(spellings(words), loinc, title, unit.strip("-"), *_numbers(values), noted == "noted")
    for words, loinc, title, unit, values, noted in rows("""
creatinine, Cr, SCr | 2160-0 | Creatinine [Mass/volume] in Serum or Plasma | mg/dL
  2 1.0 0.35 0.4 6.0 | noted
hemoglobin A1c, A1c, HbA1c, HgbA1c | 4548-4 | Hemoglobin A1c/Hemoglobin.total in Blood | %
  1 6.9 1.2 4.8 13.5 | noted
hemoglobin, Hgb, Hb | 718-7 | Hemoglobin [Mass/volume] in Blood | g/dL | 1 12.6 1.5 6.0 17.5 | noted
glucose, blood sugar, blood glucose | 2345-7 | Glucose [Mass/volume] in Serum or Plasma | mg/dL
  0 128 34 52 420 | noted
potassium, K | 2823-3 | Potassium [Moles/volume] in Serum or Plasma | mmol/L | 1 4.3 0.4 2.8 6.2
  noted
sodium, Na | 2951-2 | Sodium [Moles/volume] in Serum or Plasma | mmol/L | 0 139 3 122 150 | -
platelet count, platelets, Plt | 777-3 | Platelets [#/volume] in Blood by Automated count | 10*3/uL
  0 235 60 30 620 | -
white blood cell count, white count, WBC | 6690-2
  Leukocytes [#/volume] in Blood by Automated count | 10*3/uL | 1 7.4 2.2 1.5 24.0 | -
LDL cholesterol, LDL | 13457-7 | Cholesterol in LDL [Mass/volume] in Serum or Plasma by calculation
  mg/dL | 0 112 30 32 240 | noted
HDL cholesterol, HDL | 2085-9 | Cholesterol in HDL [Mass/volume] in Serum or Plasma | mg/dL
  0 49 10 22 95 | -
triglyceride level, triglycerides, TG | 2571-8 | Triglyceride [Mass/volume] in Serum or Plasma
  mg/dL | 0 150 55 40 620 | -
TSH, thyroid stimulating hormone | 3016-3 | Thyrotropin [Units/volume] in Serum or Plasma | mIU/L
  2 2.6 1.6 0.05 28.0 | noted
ALT, alanine aminotransferase, SGPT | 1742-6
  Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma | U/L | 0 28 14 7 320 | -
ferritin | 2276-4 | Ferritin [Mass/volume] in Serum or Plasma | ng/mL | 0 70 50 4 480 | noted
BNP, brain natriuretic peptide, B-type natriuretic peptide | 30934-4
  Natriuretic peptide B [Mass/volume] in Serum or Plasma | pg/mL | 0 240 160 12 2400 | noted
INR | 6301-6 | INR in Platelet poor plasma by Coagulation assay | - | 1 2.3 0.6 0.9 6.5 | noted
uric acid, urate | 3084-1 | Urate [Mass/volume] in Serum or Plasma | mg/dL | 1 7.2 1.5 2.5 12.0
  noted
vitamin D, 25-OH vitamin D, 25-hydroxyvitamin D | 1989-3
  25-hydroxyvitamin D3 [Mass/volume] in Serum or Plasma | ng/mL | 0 29 9 7 80 | -
PSA, prostate specific antigen | 2857-1 | Prostate specific Ag [Mass/volume] in Serum or Plasma
  ng/mL | 1 2.2 1.4 0.2 19.0 | noted
CRP, C-reactive protein | 1988-5 | C reactive protein [Mass/volume] in Serum or Plasma | mg/L
  1 6.0 5.0 0.3 160.0 | -""")
)
# Laboratories in other countries, and some outside ones, report in these units.
OTHER_UNITS: dict[str, OtherUnit] = {
    name: OtherUnit(loinc, title, unit, float(factor), int(decimals))
    for name, loinc, title, unit, factor, decimals in rows("""
creatinine | 14682-9 | Creatinine [Moles/volume] in Serum or Plasma | umol/L | 88.42 | 0
hemoglobin | 718-7 | Hemoglobin [Mass/volume] in Blood | g/L | 10 | 0
glucose | 14749-6 | Glucose [Moles/volume] in Serum or Plasma | mmol/L | 0.05551 | 1
LDL cholesterol | 22748-8 | Cholesterol in LDL [Moles/volume] in Serum or Plasma | mmol/L | 0.02586
  2
HDL cholesterol | 14646-4 | Cholesterol in HDL [Moles/volume] in Serum or Plasma | mmol/L | 0.02586
  2
triglyceride level | 14927-8 | Triglyceride [Moles/volume] in Serum or Plasma | mmol/L | 0.01129
  2
uric acid | 14933-6 | Urate [Moles/volume] in Serum or Plasma | umol/L | 59.48 | 0""")
}
# Measured with every panel; the others only in patients with a condition that calls for them.
ROUTINE_ANALYTES = spellings(
    "creatinine, potassium, sodium, hemoglobin, platelet count, white blood cell count"
)

DRUG_CLASSES: dict[str, DrugClass] = _by_name(
    DrugClass(spellings(words), _lists(reasons))
    for words, *reasons in rows("""
statin | muscle aches, myalgia, muscle pain | elevated liver enzymes, liver enzyme elevation
ACE inhibitor, ACEi | a dry cough, dry cough | high potassium, hyperkalemia
beta blocker, BB | a slow heart rate, bradycardia, slow heart rate | wheezing, bronchospasm
calcium channel blocker, CCB | ankle swelling, ankle edema, leg swelling | flushing
diuretic | low sodium, hyponatremia | leg cramps, muscle cramps
biguanide | diarrhea, loose stools
sulfonylurea | low blood sugars, hypoglycemia, low sugars | weight gain
anticoagulant, blood thinner | nosebleeds, epistaxis | an unaffordable copay, copay, cost
SSRI | vivid dreams, nightmares | jitteriness, restlessness
proton pump inhibitor, PPI | low magnesium, hypomagnesemia | bloating
benzodiazepine, benzo | daytime sedation, sedation, drowsiness | a fall at home, fall
inhaled corticosteroid, ICS | thrush, oral candidiasis | hoarseness, hoarse voice
bisphosphonate | heartburn after the pill, heartburn | jaw pain
thyroid replacement | hair loss
urate-lowering drug | a skin rash, rash
triptan | chest tightness | tingling, paresthesia
NSAID | stomach upset, dyspepsia | worsening kidney function, rising creatinine
anticholinergic inhaler, LAMA | dry mouth | urinary retention""")
)
DRUGS: dict[str, Drug] = {
    name: Drug(name, brand, rxnorm, drug_class, _numbers(doses), frequency, *unit)
    for name, brand, rxnorm, drug_class, doses, frequency, *unit in rows("""
atorvastatin | Lipitor | 83367 | statin | 10 20 40 80 | at bedtime
rosuvastatin | Crestor | 301542 | statin | 5 10 20 | at bedtime
simvastatin | Zocor | 36567 | statin | 10 20 40 | at bedtime
pravastatin | Pravachol | 42463 | statin | 20 40 | at bedtime
lisinopril | Zestril | 29046 | ACE inhibitor | 5 10 20 40 | once daily
enalapril | Vasotec | 3827 | ACE inhibitor | 5 10 20 | twice daily
ramipril | Altace | 35296 | ACE inhibitor | 2.5 5 10 | once daily
metoprolol | Lopressor | 6918 | beta blocker | 25 50 100 | twice daily
carvedilol | Coreg | 20352 | beta blocker | 3.125 6.25 12.5 25 | twice daily
atenolol | Tenormin | 1202 | beta blocker | 25 50 | once daily
amlodipine | Norvasc | 17767 | calcium channel blocker | 2.5 5 10 | once daily
diltiazem | Cardizem | 3443 | calcium channel blocker | 120 180 240 | once daily
furosemide | Lasix | 4603 | diuretic | 20 40 80 | every morning
hydrochlorothiazide | HCTZ | 5487 | diuretic | 12.5 25 | every morning
chlorthalidone | Thalitone | 2409 | diuretic | 12.5 25 | every morning
metformin | Glucophage | 6809 | biguanide | 500 850 1000 | twice daily
glipizide | Glucotrol | 4821 | sulfonylurea | 2.5 5 10 | before breakfast
glimepiride | Amaryl | 25789 | sulfonylurea | 1 2 4 | before breakfast
warfarin | Coumadin | 11289 | anticoagulant | 2 3 5 7.5 | every evening
apixaban | Eliquis | 1364430 | anticoagulant | 2.5 5 | twice daily
rivaroxaban | Xarelto | 1114195 | anticoagulant | 15 20 | with dinner
sertraline | Zoloft | 36437 | SSRI | 25 50 100 | every morning
escitalopram | Lexapro | 321988 | SSRI | 5 10 20 | every morning
citalopram | Celexa | 2556 | SSRI | 10 20 | every morning
omeprazole | Prilosec | 7646 | proton pump inhibitor | 20 40 | before breakfast
pantoprazole | Protonix | 40790 | proton pump inhibitor | 20 40 | before breakfast
lorazepam | Ativan | 6470 | benzodiazepine | 0.5 1 | at bedtime
clonazepam | Klonopin | 2598 | benzodiazepine | 0.25 0.5 | at bedtime
alprazolam | Xanax | 596 | benzodiazepine | 0.25 0.5 | at bedtime
fluticasone | Flovent | 41126 | inhaled corticosteroid | 110 220 | twice daily | mcg
budesonide | Pulmicort | 19831 | inhaled corticosteroid | 90 180 | twice daily | mcg
alendronate | Fosamax | 46041 | bisphosphonate | 35 70 | once a week
risedronate | Actonel | 73056 | bisphosphonate | 35 150 | once a week
levothyroxine | Synthroid | 10582 | thyroid replacement | 25 50 75 88 100 112
  before breakfast | mcg
allopurinol | Zyloprim | 519 | urate-lowering drug | 100 200 300 | once daily
febuxostat | Uloric | 73689 | urate-lowering drug | 40 80 | once daily
sumatriptan | Imitrex | 37418 | triptan | 25 50 100 | as needed
rizatriptan | Maxalt | 88014 | triptan | 5 10 | as needed
naproxen | Naprosyn | 7258 | NSAID | 250 500 | twice daily
meloxicam | Mobic | 41493 | NSAID | 7.5 15 | once daily
tiotropium | Spiriva | 69120 | anticholinergic inhaler | 18 | once daily | mcg
umeclidinium | Incruse | 1487514 | anticholinergic inhaler | 62.5 | once daily | mcg""")
}
CONDITIONS: dict[str, Condition] = _by_name(
    Condition(
        spellings(words),
        icd10,
        snomed,
        title,
        spellings(drug_classes),
        department,
        spellings(analytes),
        _lists(plans),
    )
    for words, icd10, snomed, title, drug_classes, department, analytes, *plans in rows("""
hypertension, HTN, high blood pressure | I10 | 38341003 | Essential (primary) hypertension
  ACE inhibitor, calcium channel blocker, diuretic | Primary Care | creatinine, potassium
  keep a home BP log for two weeks, home BP log, home blood pressure log, log of home BP
  order an ambulatory blood pressure monitor, ambulatory blood pressure, ambulatory BP
  cut salt to under 2 g a day, cut salt, low salt, salt to under 2 g, sodium restriction
type 2 diabetes, T2DM, DM2, type 2 diabetes mellitus | E11.9 | 44054006
  Type 2 diabetes mellitus without complications | biguanide, sulfonylurea | Endocrinology
  hemoglobin A1c, creatinine, glucose
  send for a dilated eye exam, dilated eye exam, retinal exam, eye exam
  see the diabetes educator, diabetes educator, diabetes education
  start a continuous glucose monitor, continuous glucose monitor, CGM
hyperlipidemia, HLD, high cholesterol | E78.5 | 55822004 | Hyperlipidemia, unspecified | statin
  Primary Care | LDL cholesterol, HDL cholesterol, triglyceride level, ALT
  repeat fasting lipids in 12 weeks, fasting lipids, repeat lipids, lipid panel
  get a coronary calcium score, coronary calcium score, calcium score
atrial fibrillation, AF, afib, a-fib | I48.91 | 49436004 | Unspecified atrial fibrillation
  anticoagulant, beta blocker | Cardiology | INR, TSH
  place a two-week event monitor, event monitor, ambulatory rhythm monitor
  plan an elective cardioversion, cardioversion | refer to EP for ablation, ablation
heart failure, HF, CHF, congestive heart failure | I50.9 | 84114007 | Heart failure, unspecified
  beta blocker, diuretic | Cardiology | BNP, creatinine
  weigh daily and call for a gain over 3 lb, weigh daily, daily weights, daily weight
  limit fluids to 2 L a day, limit fluids, fluid restriction, fluids to 2 L
  start cardiac rehab, cardiac rehab, cardiac rehabilitation
chronic kidney disease, CKD | N18.30 | 709044004 | Chronic kidney disease, stage 3 unspecified
  ACE inhibitor | Nephrology | creatinine, potassium, uric acid
  collect a urine albumin to creatinine ratio, urine albumin, UACR, albumin to creatinine ratio
  get a renal ultrasound, renal ultrasound, kidney ultrasound
COPD, chronic obstructive pulmonary disease | J44.9 | 13645005
  Chronic obstructive pulmonary disease, unspecified
  anticholinergic inhaler, inhaled corticosteroid | Pulmonology | CRP
  repeat spirometry, spirometry, PFTs, pulmonary function tests
  enroll in pulmonary rehab, pulmonary rehab, pulmonary rehabilitation
hypothyroidism, low thyroid | E03.9 | 40930008 | Hypothyroidism, unspecified | thyroid replacement
  Endocrinology | TSH
  recheck TSH in six weeks, recheck TSH, repeat TSH
  check thyroid antibodies, thyroid antibodies, TPO
depression, MDD, major depression | F32.9 | 35489007
  Major depressive disorder, single episode, unspecified | SSRI | Psychiatry | -
  start cognitive behavioral therapy, cognitive behavioral therapy, CBT
  repeat the PHQ-9 in a month, repeat the PHQ-9, repeat PHQ-9
anxiety, GAD, generalized anxiety disorder | F41.1 | 21897009 | Generalized anxiety disorder
  SSRI, benzodiazepine | Psychiatry | TSH
  try a mindfulness course, mindfulness | taper caffeine, less caffeine, cut caffeine
osteoporosis, OP | M81.0 | 64859006 | Age-related osteoporosis without current pathological fracture
  bisphosphonate | Endocrinology | vitamin D
  repeat the DXA in two years, repeat the DXA, repeat DXA, repeat bone density
  begin balance training with PT, balance training
gout, gouty arthritis | M10.9 | 90560007 | Gout, unspecified | urate-lowering drug, NSAID
  Rheumatology | uric acid
  aspirate the joint at the next flare, aspirate the joint, joint aspiration
  cut beer and shellfish, beer and shellfish, low purine
GERD, gastroesophageal reflux, acid reflux | K21.9 | 235595009
  Gastro-esophageal reflux disease without esophagitis | proton pump inhibitor | Gastroenterology
  -
  raise the head of the bed, head of the bed, elevate the head
  schedule an EGD, EGD, upper endoscopy
iron deficiency anemia, IDA, iron deficiency | D50.9 | 87522002
  Iron deficiency anemia, unspecified | - | Hematology | ferritin, hemoglobin
  give IV iron, IV iron, iron infusion, intravenous iron
  send celiac serologies, celiac serologies, celiac testing, tTG
migraine, migraines, migraine headaches | G43.909 | 37796009
  Migraine, unspecified, not intractable, without status migrainosus | triptan | Neurology | -
  keep a headache diary, headache diary | add magnesium nightly, magnesium
sleep apnea, OSA, obstructive sleep apnea | G47.33 | 78275009
  Obstructive sleep apnea (adult) (pediatric) | - | Pulmonology | -
  download CPAP data, CPAP data, CPAP download
  fit an oral appliance, oral appliance, mandibular advancement
knee osteoarthritis, knee OA, osteoarthritis of the knee | M17.9 | 239873007
  Osteoarthritis of knee, unspecified | NSAID | Orthopedics | -
  inject the knee with steroid, steroid injection, cortisone injection, inject the knee
  use an unloader brace, unloader brace""")
)
ACUTE = tuple(
    Acute(spellings(words), icd10, title, symptom, return_precaution, spellings(pending))
    for words, icd10, title, symptom, return_precaution, pending in rows("""
community-acquired pneumonia, pneumonia, CAP | J18.9 | Pneumonia, unspecified organism | cough
  breathing gets harder | sputum culture, Legionella antigen
urinary tract infection, UTI, urosepsis | N39.0 | Urinary tract infection, site not specified
  burning with urination | shaking chills start | urine culture
cellulitis, leg cellulitis | L03.115 | Cellulitis of right lower limb | leg redness
  the redness spreads past the line | wound culture
acute kidney injury, AKI | N17.9 | Acute kidney failure, unspecified | poor appetite
  urine output drops | urine sodium, renal ultrasound report
lower GI bleed, gastrointestinal bleed, GI bleed, diverticular bleed | K57.31
  Diverticulosis of large intestine without perforation or abscess with bleeding
  blood in the stool | the bleeding returns | pathology from the biopsy
pulmonary embolism, PE | I26.99 | Other pulmonary embolism without acute cor pulmonale
  shortness of breath | breathing suddenly gets harder | thrombophilia panel
syncope, fainting | R55 | Syncope and collapse | lightheadedness | another blackout occurs
  tilt table report, event monitor report
acute pancreatitis, pancreatitis | K85.90
  Acute pancreatitis without necrosis or infection, unspecified | abdominal pain | vomiting returns
  IgG4 level
kidney stone, nephrolithiasis, renal colic | N20.0 | Calculus of kidney | flank pain
  a fever comes with the flank pain | stone analysis
vertigo, BPPV, benign positional vertigo | H81.10 | Benign paroxysmal vertigo, unspecified ear
  dizziness | speech becomes slurred | audiogram""")
)
SURGERIES = tuple(
    Surgery(spellings(words), cpt, title, gender, _lists(complications))
    for words, cpt, title, gender, *complications in rows("""
cholecystectomy, lap chole, gallbladder removal, gallbladder surgery | 47562
  Laparoscopy, surgical; cholecystectomy | - | bile leak | wound infection, surgical site infection
knee replacement, TKA, total knee arthroplasty, total knee replacement | 27447
  Arthroplasty, knee, condyle and plateau (total knee arthroplasty) | - | deep vein thrombosis, DVT
  knee stiffness, stiffness, arthrofibrosis
hip replacement, THA, total hip arthroplasty, total hip replacement | 27130
  Arthroplasty, acetabular and proximal femoral prosthetic replacement (total hip arthroplasty) | -
  hip dislocation, dislocation | foot drop
appendectomy, appendix removal, lap appy | 44970 | Laparoscopy, surgical, appendectomy | -
  pelvic abscess, abscess | ileus
CABG, coronary artery bypass, bypass surgery | 33533
  Coronary artery bypass, using arterial graft(s); single arterial graft | -
  sternal wound infection, sternal infection | pleural effusion, effusion
hysterectomy, TLH | 58570 | Laparoscopy, surgical, with total hysterectomy | FEMALE | bladder injury
  vaginal cuff dehiscence, cuff dehiscence
inguinal hernia repair, hernia repair, herniorrhaphy | 49505
  Repair initial inguinal hernia, age 5 years or older; reducible | - | seroma
  chronic groin pain, groin pain""")
)
STUDIES = tuple(
    Study(spellings(words), cpt, title, _lists(findings))
    for words, cpt, title, *findings in rows("""
brain MRI, MRI brain, MRI of the brain | 70551
  MRI brain including brain stem; without contrast material
  chronic small vessel ischemic change, small vessel ischemic, small vessel disease
  4 mm meningioma, meningioma | pineal cyst
  no acute intracranial abnormality, no acute intracranial
chest x-ray, CXR, chest radiograph | 71046 | Radiologic examination, chest; 2 views
  right lower lobe opacity, RLL opacity, right lower lobe consolidation
  small left pleural effusion, left pleural effusion, left effusion
  hyperinflated lungs, hyperinflation | clear lungs, lungs are clear, lungs clear
abdominal ultrasound, abdominal US, ultrasound of the abdomen | 76700
  Ultrasound, abdominal, real time with image documentation; complete
  hepatic steatosis, fatty liver | gallstones, cholelithiasis
  simple left renal cyst, left renal cyst, renal cyst | mild splenomegaly, splenomegaly
carotid duplex, carotid ultrasound, carotid doppler | 93880
  Duplex scan of extracranial arteries; complete bilateral study
  50-69% left ICA stenosis, left ICA stenosis, left internal carotid stenosis
  minimal plaque bilaterally, minimal plaque
  right vertebral artery occlusion, vertebral artery occlusion
head CT, CT head, CT of the head | 70450 | CT, head or brain; without contrast material
  left frontal scalp hematoma, scalp hematoma | generalized volume loss, volume loss, atrophy
  maxillary sinus thickening, sinus thickening, sinus mucosal thickening""")
)
# Studies that report a number: a nodule's size in mm, an ejection fraction in %, polyps.
CHEST_CT, ECHO, COLONOSCOPY = (
    Study(spellings(words), cpt, title)
    for words, cpt, title in rows("""
chest CT, CT chest, CT of the chest | 71250
  Computed tomography, thorax, diagnostic; without contrast material
echocardiogram, echo, TTE | 93306
  Echocardiography, transthoracic, complete, with spectral and color flow Doppler
colonoscopy | 45378 | Colonoscopy, flexible; diagnostic""")
)

NEVER_ORDERED = spelling_lists("""sleep study, polysomnogram | tilt table test
    renal biopsy, kidney biopsy | PET scan, PET/CT | bone marrow biopsy | cardiac MRI""")
SYMPTOMS = spelling_lists("""chest pain, CP | shortness of breath, SOB, dyspnea | headache, HA
    nausea | fevers, fever | palpitations | leg swelling, LE edema | back pain | night sweats
    blurry vision, blurred vision | constipation | dizziness, lightheadedness
    insomnia, trouble sleeping | joint pain | numbness, numb | tinnitus, ringing in the ears
    hoarseness | easy bruising""")
ALLERGENS = spelling_lists("""penicillin, PCN | sulfa, sulfonamide, sulfonamides | codeine | latex
    iodinated contrast, IV contrast, contrast dye | vancomycin | aspirin, ASA | shellfish""")
REACTIONS = spelling_lists("""hives, urticaria | anaphylaxis | rash
    facial swelling, angioedema | vomiting | itching, pruritus""")
FAMILY_CONDITIONS = spelling_lists("""breast cancer | colon cancer, colorectal cancer | stroke, CVA
    heart attack, MI, myocardial infarction | dementia, Alzheimer | rheumatoid arthritis | glaucoma
    Parkinson disease, Parkinson's disease | ovarian cancer | melanoma""")
RELATIVES = spelling_lists("""mother | father | sister | brother | maternal aunt | paternal uncle
    maternal grandmother | paternal grandfather""")
# No simulated patient has these, and notes say so; some nevertheless run in the family.
NEVER_HAD = spelling_lists("""stroke, CVA | seizures, seizure, epilepsy | glaucoma | melanoma
    hepatitis C, HCV | tuberculosis, TB""")
OCCUPATIONS = spellings(
    "retired teacher, bus driver, electrician, bookkeeper, line cook, warehouse supervisor, "
    "retired nurse, librarian, landscaper, welder"
)
LIVING = spelling_lists("""alone, by herself, by himself | spouse, wife, husband
    adult daughter, daughter | roommate | adult son, son
    assisted living, assisted living facility, ALF""")
PAYERS = spelling_lists("""Medicare | Medicaid | commercial PPO, PPO | commercial HMO, HMO
    Veterans Affairs, VA""")
# Sex is clinically relevant to instructions about these.
OF_ONE_SEX = {"PSA", "hysterectomy"}
VACCINES: dict[str, tuple[str, Spellings]] = {
    cpt: (title, spellings(words))
    for cpt, title, words in rows("""
90686 | Influenza virus vaccine, quadrivalent, preservative free | influenza, flu shot, flu vaccine
90750 | Zoster (shingles) vaccine, recombinant, adjuvanted | zoster, shingles, Shingrix
90732 | Pneumococcal polysaccharide vaccine, 23-valent
  pneumococcal, pneumonia shot, pneumovax, PPSV23
90715 | Tetanus, diphtheria toxoids and acellular pertussis vaccine | Tdap, tetanus""")
}
# Portal messages: topic, what the patient asked, the clinic's reply, accepted answers.
MESSAGES = tuple(
    (spellings(topic), asks, reply, spellings(answer))
    for topic, asks, reply, answer in rows("""
jury duty | asks for a letter to be excused from jury duty
  the excuse letter can be picked up this week | letter, excuse letter
travel, trip, flight | is flying abroad next month and asks when to take pills across time zones
  please keep to home time for all pills | home time, keep to home time
handicap placard, parking placard, disability placard | requests a new handicap placard form
  the form is at the front desk | form at the front desk, front desk
hearing aid, hearing aids | asks whether insurance covers a hearing aid
  please call audiology about coverage | audiology, call audiology
refill, mail-order pharmacy | wants refills moved to a mail-order pharmacy
  we sent a 90-day supply to the new pharmacy | 90-day supply, 90 day supply
gym exercise, gym, weights, lifting | asks if lifting weights at the gym is safe
  please start with light weights | light weights, start with light weights
melatonin | wants to try melatonin for sleep | you may take 3 mg an hour before bed
  3 mg, melatonin 3 mg
grapefruit, grapefruit juice | read about grapefruit juice and asks if it is a problem
  please avoid grapefruit with the current pills | avoid grapefruit, stop grapefruit""")
)
# Ward rules as nursing notes cite them: topic, rule, accepted answers.
POLICIES = tuple(
    (spellings(topic), rule, spellings(accepted))
    for topic, rule, accepted in rows("""
contact isolation, isolation | contact isolation ends after two negative swabs
  two negative swabs, 2 negative swabs
bedside sitters, sitter | the need for a bedside sitter is reviewed every 4 hours
  every 4 hours, every four hours, q4h
central lines, line dressing | a central line dressing is changed every 7 days
  every 7 days, every seven days, weekly
home medications, own medications | patients' own medications are kept in the ward safe
  ward safe, safe""")
)
# Targets a clinician may set, and later change, for a condition's analyte.
GOALS: dict[str, dict[str, tuple[float, ...]]] = {
    "type 2 diabetes": {"hemoglobin A1c": (6.5, 7.0, 7.5, 8.0)},
    "hyperlipidemia": {"LDL cholesterol": (55, 70, 100)},
    "gout": {"uric acid": (5.0, 6.0)},
}
CONTACTS = ("daughter", "son", "sister", "brother", "neighbor", "spouse")
LANGUAGES = ("English", "Spanish", "Vietnamese", "Mandarin", "Russian")
# Evaluation and management codes, by which visits are billed.
VISIT_CPT = dict(
    rows("""
99213 | Office or other outpatient visit, established patient, low complexity
99214 | Office or other outpatient visit, established patient, moderate complexity
99215 | Office or other outpatient visit, established patient, high complexity
99283 | Emergency department visit, moderate severity
99284 | Emergency department visit, high severity
99285 | Emergency department visit, high severity with immediate threat
99221 | Initial hospital care, per day, low complexity
99222 | Initial hospital care, per day, moderate complexity
99223 | Initial hospital care, per day, high complexity""")
)
